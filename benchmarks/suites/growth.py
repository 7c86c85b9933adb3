"""How the cost grows with the number of members, audiences, issuers, cached tokens and threads.

Each figure is relative to the smallest of its kind. A policy decides on the last of its members; a verifier
gets a token for the last of its audiences, or of the last of its issuers, each with a key of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, per_call, ratio, rounds, spread
from harness.tokens import AUDIENCE, CALLER, ISSUER, Key

from doorward import GOOGLE, InvokerPolicy, Principal, Verifier
from suites._growth_memory import BOUND
from suites._growth_threads import CALLS, THREADS
from suites._growth_world import AGAIN, NEVER, refuses_what_is_bad, verifier_of

MEMBERS = (1, 10, 100, 1_500)
AUDIENCES = (1, 10, 100, 1_000)
ISSUERS = (1, 2, 8, 32)
CONDITIONS = {
    "no condition": None,
    "a lasting condition": "timestamp('2020-01-01T00:00:00Z') < timestamp('2030-01-01T00:00:00Z')",
    "a condition on the request": "request.path.startsWith('/')",
}
"""The lasting one depends on nothing of the request, so that it is decided once, when the policy is loaded;
the other is evaluated for each request."""

DECISIONS, VERIFIES, HITS = 2_000, 128, 4_000
TOKENS, FEW = 64, 16
FREE_THREADED = ("python3.14t", "python3.13t")


def policy(size: int, condition: str | None) -> InvokerPolicy:
    """Make a policy whose last member is the caller."""
    members = [f"user:user-{number}@example.com" for number in range(size - 1)]
    binding: dict[str, object] = {
        "role": "roles/run.invoker",
        "members": [*members, f"serviceAccount:{CALLER}"],
    }
    if condition is not None:
        binding["condition"] = {"title": "bench", "expression": condition}
    return InvokerPolicy.from_dict({"version": 3, "bindings": [binding]})


def decision(decider: InvokerPolicy) -> Sample:
    """Measure one policy, after a check that it grants and refuses."""
    claims = {"sub": "1", "email": CALLER, "email_verified": True, "iss": GOOGLE.iss_values[0]}
    caller = Principal(MappingProxyType(claims), GOOGLE)
    other = Principal(MappingProxyType(claims | {"email": "other@example.com"}), GOOGLE)
    assert decider.decide(caller).granted
    assert not decider.decide(other).granted
    return per_call(lambda: decider.decide(caller), DECISIONS)


def members(runs: int, facts: dict[str, str]) -> list[Figure]:
    """Measure decisions of policies with more and more members."""
    keys = [(kind, size) for kind in CONDITIONS for size in MEMBERS]
    taken = rounds({f"{kind}|{size}": decision(policy(size, CONDITIONS[kind])) for kind, size in keys}, runs)
    unit = taken["no condition|1"]
    facts["a decision, one member"] = _microseconds(unit)
    return [
        Figure.of(
            "decision by members, beside one without a condition",
            kind,
            "times",
            ratio(taken[f"{kind}|{size}"], unit),
            column=f"{size:,}",
        )
        for kind, size in keys
    ]


def verifying(make: Callable[[int], Verifier], tokens: Sequence[str]) -> dict[str, Sample]:
    """Measure a verifier with tokens that it has never seen, and with one that it has.

    Args:
        make: Makes a verifier with a token cache of a given size.
        tokens: More tokens than the small cache holds.
    """
    small, large = make(FEW), make(BOUND)
    turn, again = cycle(tokens).__next__, tokens[0]
    assert large.verify(again) is large.verify(again)
    assert {small.verify(turn()) is small.verify(turn()) for _ in tokens} == {False}
    return {
        NEVER: per_call(lambda: small.verify(turn()), VERIFIES),
        AGAIN: per_call(lambda: large.verify(again), HITS),
    }


def by_size(
    what: str, samples: Mapping[int, Mapping[str, Sample]], runs: int, facts: dict[str, str]
) -> list[Figure]:
    """Return the cost of each size relative to the first."""
    flat = {f"{kind}|{size}": one for size, of_size in samples.items() for kind, one in of_size.items()}
    taken = rounds(flat, runs)
    facts |= {f"a {kind}, one {what}": _microseconds(taken[f"{kind}|1"]) for kind in (NEVER, AGAIN)}
    group = f"verification by {what}s, beside one {what}"
    return [
        Figure.of(
            group, kind, "times", ratio(taken[f"{kind}|{size}"], taken[f"{kind}|1"]), column=f"{size:,}"
        )
        for kind in (NEVER, AGAIN)
        for size in samples
    ]


def audiences(runs: int, facts: dict[str, str]) -> list[Figure]:
    """Measure verifiers with more and more audiences."""
    key = Key()
    tokens = [key.token(number) for number in range(TOKENS)]

    def make(size: int, token_cache_size: int) -> Verifier:
        others = [f"https://service-{number}.example.com" for number in range(size - 1)]
        return verifier_of({ISSUER: key}, [*others, AUDIENCE], token_cache_size)

    refuses_what_is_bad(make(AUDIENCES[-1], FEW), key)
    samples = {size: verifying(partial(make, size), tokens) for size in AUDIENCES}
    return by_size("audience", samples, runs, facts)


def issuers(runs: int, facts: dict[str, str]) -> list[Figure]:
    """Measure verifiers with more and more issuers."""
    keys = {f"https://issuer-{number}.example.com": Key(kid=f"key-{number}") for number in range(ISSUERS[-1])}
    names = list(keys)
    samples = {}
    for size in ISSUERS:
        last = names[size - 1]
        some = {name: keys[name] for name in names[:size]}
        tokens = [keys[last].token(number, iss=last) for number in range(TOKENS)]
        refuses_what_is_bad(verifier_of(some, token_cache_size=FEW), keys[last], last)
        samples[size] = verifying(partial(verifier_of, some, AUDIENCE), tokens)
    return by_size("issuer", samples, runs, facts)


def _microseconds(samples: Sequence[float]) -> str:
    return f"{spread(samples).median * 1e6:.1f} us"


def cached(stages: Sequence[int]) -> list[Figure]:
    """Present very many tokens to one verifier; `_growth_memory` checks what is claimed here."""
    lines = _output("_growth_memory", *map(str, stages)).splitlines()
    found: dict[str, dict[str, Any]] = {f"{one['presented']:,}": one for one in map(json.loads, lines)}
    last = list(found)[-1]
    first = next(iter(found.values()))["hit"]
    group, bound = "tokens presented to one verifier", f"the bound is {BOUND:,}"
    looked = (
        f"of {found[last]['texts']:,} texts within the verifier, those that hold over 16 characters in a row "
        "of one of the last 300 tokens"
    )
    made = [
        *((group, "tokens cached", "count", one["cached"], at, bound) for at, one in found.items()),
        *((group, "the most at any time", "count", one["largest"], at, bound) for at, one in found.items()),
        (group, "parts of tokens kept", "count", found[last]["parts"], last, looked),
        *(
            (f"{group}: memory", "growth of the process", "MiB", one["MiB"], at, "")
            for at, one in found.items()
        ),
        *((f"{group}: time", AGAIN, "times", one["hit"] / first, at, "") for at, one in found.items()),
    ]
    return [Figure(*names, value, value, value, note, at) for *names, value, at, note in made]


def threads(runs: int) -> list[Figure]:
    """Verify from several threads at once, with this interpreter and with one that has no global lock."""
    here = _threads(json.loads(_output("_growth_threads", str(runs))))
    free = next(filter(None, map(shutil.which, FREE_THREADED)), None)
    note = "no free-threaded Python here"
    if free is not None:
        name = Path(free).name
        try:
            found = json.loads(_output("_growth_threads", str(runs), python=free))
        except RuntimeError as error:
            note = f"{name} failed: {str(error).strip().splitlines()[-1]}"
        else:
            if not found["locked"]:
                return here + _threads(found)
            note = f"{name} has turned its lock on, as an extension module requires"
    group = "verifications per second by threads, without the interpreter's lock"
    return [*here, *(Figure(group, kind, "times those of one", note=note) for kind in CALLS)]


def _threads(found: Mapping[str, Any]) -> list[Figure]:
    taken, lock = found["taken"], "with" if found["locked"] else "without"
    group = f"verifications per second by threads, {lock} the interpreter's lock"
    note = f"CPython {found['python']}"
    return [
        Figure.of(
            group,
            kind,
            "times those of one",
            ratio(taken[f"{kind}|1"], taken[f"{kind}|{count}"]),
            note,
            f"{count}",
        )
        for kind in CALLS
        for count in THREADS
    ]


def _output(module: str, *arguments: str, python: str = sys.executable) -> str:
    """Run a part in a process of its own, and return what it prints."""
    command = [python, "-m", f"suites.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def main() -> None:
    """Measure all of it."""
    parser = Report.arguments(__doc__, runs=15)
    parser.add_argument(
        "--presented",
        type=int,
        default=1_000_000,
        help="tokens presented to one verifier (default: %(default)s)",
    )
    chosen = parser.parse_args()
    stages = [one for one in (1_000, 10_000, 100_000) if one < chosen.presented] + [chosen.presented]
    report = Report(
        "growth", chosen.runs, versions_of(["doorward", "cryptography", "PyJWT", "cel-expr-python"])
    )
    report.figures = [
        *members(chosen.runs, report.facts),
        *audiences(chosen.runs, report.facts),
        *issuers(chosen.runs, report.facts),
        *cached(stages),
        *threads(chosen.runs),
    ]
    report.facts["tokens"] = "RS256; those presented in great number ES256"
    report.finish(save=chosen.save)


if __name__ == "__main__":
    main()
