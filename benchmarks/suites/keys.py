"""Key caches beside each other: how often they fetch keys, and how long their callers wait.

One key endpoint on loopback, in a process of its own, answers after 100 ms with ``max-age=300`` and an ETag,
and counts. Every contender checks real tokens against it, through the call that its users make:

- herd: nothing is cached, 200 threads check a token each at the same moment;
- flood: keys have been cached for a minute; 15 threads send 1,000 tokens that name random key ids and are
  right in all but the signature, while one thread goes on checking good tokens; stopped after 20 s;
- hang: the cached keys have just become too old for the contender, the endpoint takes 3 s to answer, and 20
  threads check 5 good tokens each;
- outage: keys are cached, then the endpoint drops every connection for an hour, and a good token is checked
  every minute;
- withdrawn: keys are cached, then the endpoint publishes another key in their place, and a token of the old
  key is checked every 30 s for up to 25 hours: how long is it accepted?

The hours are not real ones: the contenders' clocks are moved (see `_keys_contenders`). The endpoint dates its
answers by the moved clock, since CacheControl and doorward read that date. After each step of a moved clock
the script waits until doorward has no fetch in progress, which would have been over within half a minute.
doorward's token cache is off, so that every check looks for its key.

Each figure is the median of the runs (three by default); the longest wait is the longest of all checks of a
run. Modules are imported before: imports are not measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.figures import versions_of
from harness.threads import together
from harness.tokens import Key

from suites._keys_contenders import CLOCK, CONTENDERS, DAY, Contender
from suites._keys_endpoint import Run, endpoint

STEP = 30.0


@dataclass
class Outcome:
    """The outcome of one run; a check with another result than the right one is an error."""

    fetches: int = 0
    waits: list[float] = field(default_factory=list)
    good_waits: list[float] = field(default_factory=list)
    checks: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    accepted: float | None = None

    def timed(self, contender: Contender, token: str, *, good: bool = True) -> None:
        began = time.perf_counter()
        try:
            contender.check(token)
        except Exception as error:  # noqa: BLE001 - any error of a contender is its refusal
            name: str | None = type(error).__name__ if good else None
        else:
            name = None if good else "accepted a bad token"
        waited = time.perf_counter() - began
        self.waits.append(waited)
        self.checks += 1
        if good:
            self.good_waits.append(waited)
        if name is not None:
            self.errors[name] += 1


OLD, NEW, UNPUBLISHED = (Key(kid=kid) for kid in ("key-1", "key-2", "key-3"))


def warmed(contender: Contender, run: Run) -> None:
    run.publish(OLD.jwk)
    contender.check(OLD.token())
    contender.settle()


def herd(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    tokens = [OLD.token() for _ in range(200)]
    run.publish(OLD.jwk)
    together(200, lambda number: outcome.timed(contender, tokens[number]))
    outcome.fetches = run.fetches
    return outcome


def flood(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    bad = [UNPUBLISHED.token(kid=f"random-{number}") for number in range(1000)]
    good = OLD.token()
    warmed(contender, run)
    CLOCK.move(60)
    run.publish(OLD.jwk)
    left, sending = iter(bad), [15]
    lock = threading.Lock()
    until = time.monotonic() + 20

    def send(number: int) -> None:
        if number == 15:
            while sending[0]:
                outcome.timed(contender, good)
                time.sleep(0.005)
            return
        while time.monotonic() < until:
            with lock:
                token = next(left, None)
            if token is None:
                break
            outcome.timed(contender, token, good=False)
        with lock:
            sending[0] -= 1

    together(16, send)
    contender.settle()
    outcome.fetches = run.fetches
    outcome.checks -= len(outcome.good_waits)
    return outcome


def hang(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    good = OLD.token()
    warmed(contender, run)
    CLOCK.move(contender.fresh_for + 10)
    run.publish(OLD.jwk, delay=3.0)

    def read(_: int) -> None:
        for _ in range(5):
            outcome.timed(contender, good)
            time.sleep(0.1)

    together(20, read)
    contender.settle()
    outcome.fetches = run.fetches
    return outcome


def outage(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    good = OLD.token()
    warmed(contender, run)
    run.publish(OLD.jwk, down=True)
    for _ in range(60):
        CLOCK.move(60)
        outcome.timed(contender, good)
        contender.settle()
    outcome.fetches = run.fetches
    return outcome


def withdrawn(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    good = OLD.token()
    warmed(contender, run)
    run.publish(NEW.jwk)
    began = CLOCK.offset
    while CLOCK.offset - began < DAY + 3600:
        CLOCK.move(STEP)
        try:
            contender.check(good)
        except Exception:  # noqa: BLE001 - any error is the refusal that was waited for
            outcome.accepted = CLOCK.offset - began
            break
        contender.settle()
    outcome.fetches = run.fetches
    return outcome


SCENARIOS: dict[str, Callable[[Contender, Run], Outcome]] = {
    scenario.__name__: scenario for scenario in (herd, flood, hang, outage, withdrawn)
}

# The measurement, and its table.


def measure(base: str, name: str, scenario: str, runs: int) -> dict[str, Any]:
    outcomes = []
    for number in range(runs):
        run = Run(base, f"{name}-{scenario}-{number}".replace(" ", ""))
        CLOCK.move(-CLOCK.offset)
        contender = CONTENDERS[name](run.url)
        try:
            outcomes.append(SCENARIOS[scenario](contender, run))
            contender.settle()
        finally:
            contender.close()
    accepted = [one.accepted for one in outcomes if one.accepted is not None]
    return {
        "contender": name,
        "scenario": scenario,
        "fetches": statistics.median_low([one.fetches for one in outcomes]),
        "checks": statistics.median_low([one.checks for one in outcomes]),
        "longest_wait_ms": _milliseconds([one.waits for one in outcomes]),
        "longest_wait_of_a_good_token_ms": _milliseconds([one.good_waits for one in outcomes]),
        "errors": statistics.median_low([one.errors.total() for one in outcomes]),
        "kinds_of_error": sorted({kind for one in outcomes for kind in one.errors}),
        "accepted_for_s": statistics.median_low(accepted) if len(accepted) == len(outcomes) else None,
    }


def _milliseconds(waits: list[list[float]]) -> float | None:
    longest = [max(one) for one in waits if one]
    return round(statistics.median(longest) * 1000, 1) if longest else None


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _cell(result: dict[str, Any]) -> str:
    if result["scenario"] == "withdrawn":
        accepted = result["accepted_for_s"]
        if accepted is None:
            return "over 25 h"
        return "not at all" if accepted <= STEP else f"{accepted:,.0f} s"
    fetches = _count(result["fetches"], "fetch", "fetches")
    wait = f"{result['longest_wait_ms']:,.0f} ms"
    if result["scenario"] == "flood":
        fetches += "" if result["checks"] == 1000 else f" for {result['checks']} tokens (cut short)"
        wait += f" (good tokens {result['longest_wait_of_a_good_token_ms']:,.0f} ms)"
    kinds = f" ({', '.join(result['kinds_of_error'])})" if result["errors"] else ""
    return f"{fetches}, {wait}, {_count(result['errors'], 'error', 'errors')}{kinds}"


def table(results: list[dict[str, Any]]) -> str:
    scenarios = list(dict.fromkeys(result["scenario"] for result in results))
    lines = [f"| | {' | '.join(scenarios)} |", "|---" * (len(scenarios) + 1) + "|"]
    for name in dict.fromkeys(result["contender"] for result in results):
        cells = [_cell(result) for result in results if result["contender"] == name]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure key caches beside each other.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each; 3 by default")
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="measure this contender alone")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="run this scenario alone")
    settings = parser.parse_args()
    logging.disable(logging.CRITICAL)
    results: list[dict[str, Any]] = []
    with endpoint(CLOCK.shared) as base:
        results += [
            measure(base, name, scenario, settings.runs)
            for name in settings.only or CONTENDERS
            for scenario in settings.scenario or SCENARIOS
        ]
    packages = ("doorward", "PyJWT", "google-auth", "CacheControl", "requests", "auth-jwks", "httpx")
    versions = versions_of(packages)
    print(table(results))
    print()
    print(f"{platform.python_implementation()} {platform.python_version()};", end=" ")
    print(", ".join(f"{package} {number}" for package, number in versions.items()), end=".\n")
    if settings.json:
        document = {"python": platform.python_version(), "versions": versions, "results": results}
        settings.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
