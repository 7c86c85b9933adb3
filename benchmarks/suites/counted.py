"""Counted, not timed: the instructions and the calls of a verification, which do not depend on other load.

callgrind counts the instructions of each case, and Python's own profiler the calls of functions. From the
instructions of a case those of the necessary cryptography are subtracted, counted in the same run: one digest
of the token, and one verification where a signature is checked at all. The rest is doorward's own. OpenSSL is
set to use no special feature of the processor, so that it does the same on any machine.

One build of Python executes the same number each time, on any machine; it is recognised by the instructions
of the ruler, a fixed piece of Python that is counted too. Another build of the same version executes up to a
quarter more or fewer, even in units of the ruler.

``counted.json`` keeps the figures that CI compares with, those of several builds of several versions::

    python benchmarks/run.py counted --keep     keep the figures of this run, for this build
    python benchmarks/run.py counted --check    compare only: exit status 1 if any case has become slower
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.figures import Figure, Report, versions_of
from harness.rounds import spread

from suites._counted_work import BARE, DIGEST, MARKS, OWN, RULER, TURNS, material

__all__ = ["KEPT", "Build", "Instructions", "calls", "check_calls", "check_instructions", "instructions"]

BENCHMARKS = Path(__file__).parents[1]
KEPT = BENCHMARKS / "counted.json"
PYTHON = f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}"

ENVIRON = {
    "PYTHONPATH": str(BENCHMARKS),
    "PYTHONHASHSEED": "0",
    "OPENSSL_ia32cap": "0",
    "OPENSSL_armcap": "0",
}

SAME_BUILD = 0.02
"""By how much the ruler of one build may differ: 0.7 % was measured, and 10 % between two builds."""
TOLERANCE = 0.03
"""How much more is accepted. Runs differ by 0.1 %, processors with other features by 1.3 %."""
TOLERANCE_OF_OTHERS = 0.4
"""The same against the figures of another build, scaled by the ruler: 24 % is the most that was measured."""

HOW_TO_KEEP = "if that is meant, keep the new figures: python benchmarks/run.py counted --keep"

Calls = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Build:
    """The kept figures of one build of Python.

    Attributes:
        build: Its version and compiler, for the reader.
        machine: The architecture; figures of another one are never compared.
        ruler: Instructions of the ruler, by which a build is recognised.
        own: Instructions of each case, without those of the cryptography in it.
    """

    build: str
    machine: str
    ruler: int
    own: Mapping[str, int]


@dataclass(frozen=True)
class Instructions:
    """The counts of one run: instructions by case, in all and without the cryptography."""

    whole: Mapping[str, int]
    own: Mapping[str, int]

    @property
    def ruler(self) -> int:
        return self.whole[RULER]

    def kept(self) -> Build:
        """Return the figures to keep."""
        build = f"{platform.python_version()}, {platform.python_compiler()}"
        return Build(build, platform.machine(), self.ruler, dict(self.own))


def _work(command: list[str], given: Mapping[str, Any]) -> str:
    environ = ENVIRON | {"PATH": os.environ.get("PATH", os.defpath)}
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=False, env=environ
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ... failed: {done.stderr[-2000:]}")
    return done.stdout


def calls(given: Mapping[str, Any]) -> Calls:
    """Count calls of functions, in a process of its own."""
    found: Calls = json.loads(_work([sys.executable, "-m", "suites._counted_work", "calls"], given))
    return found


def instructions(given: Mapping[str, Any], counted: Calls) -> Instructions:
    """Count instructions, in a process under callgrind.

    Args:
        given: The key and the tokens.
        counted: The calls, from which the cryptography in each case is known.
    """
    with tempfile.TemporaryDirectory(prefix="doorward-counted-") as folder:
        out = Path(folder, "out")
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        callgrind += [f"--dump-before={mark}" for mark in MARKS]
        _work([*callgrind, sys.executable, "-m", "suites._counted_work", "run"], given)
        dumps = sorted(out.parent.glob("out.*"), key=lambda path: int(path.suffix[1:]))
        # One dump up to the first mark; for each case one up to its second mark, and one up to the next case.
        if len(dumps) != 2 * len(counted):
            raise RuntimeError(f"callgrind saw {len(dumps)} marks, not {2 * len(counted)}")
        whole = dict(zip(counted, (_total(path) // TURNS for path in dumps[1::2]), strict=True))
    own = {
        name: whole[name] - sum(whole[part] for part in (BARE, DIGEST) if counted[name][part]) for name in OWN
    }
    return Instructions(whole, own)


def _total(dump: Path) -> int:
    found = re.search(r"^summary: (\d+)", dump.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError("callgrind has written a format that is not known: there is no summary")
    return int(found[1])


def load(path: Path = KEPT) -> dict[str, dict[str, Any]]:
    """Read the kept figures, by version of Python: ``calls``, and the ``builds``."""
    kept: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return kept


def nearest(found: Instructions, builds: list[Build]) -> Build | None:
    """Return the build to compare with: the one with the nearest ruler, None if there is none."""
    like = [one for one in builds if one.machine == platform.machine()]
    return min(like, key=lambda one: abs(one.ruler - found.ruler), default=None)


def check_calls(found: Calls, kept: Mapping[str, int]) -> list[str]:
    """Return a line for each case with more calls than are kept; calls are exact, so that none may."""
    return [
        f"{name}: {found[name]['calls']} calls of functions, where {kept[name]} are kept; {HOW_TO_KEEP}"
        for name in OWN
        if found[name]["calls"] > kept.get(name, 0)
    ]


def check_instructions(found: Instructions, kept: Build) -> list[str]:
    """Return a line for each case with more instructions of its own than are kept and accepted."""
    scale = found.ruler / kept.ruler
    same = abs(scale - 1) <= SAME_BUILD
    tolerance = TOLERANCE if same else TOLERANCE_OF_OTHERS
    expected = {name: kept.own.get(name, 0) * (1.0 if same else scale) for name in OWN}
    return [
        f"{name}: {found.own[name]:,} instructions, where {expected[name]:,.0f} are kept ({kept.build}) and "
        f"{tolerance:.0%} more are accepted; {HOW_TO_KEEP}"
        for name in OWN
        if found.own[name] > expected[name] * (1 + tolerance)
    ]


def keep(counted: Calls, found: Instructions | None, path: Path = KEPT) -> None:
    """Replace the kept figures of this build."""
    kept = load(path)
    before = kept.get(PYTHON, {"builds": []})
    builds = before["builds"]
    if found is not None:
        here = found.kept()
        others = [one for one in builds if not _is_of(Build(**one), here)]
        builds = sorted([*others, vars(here)], key=lambda one: (one["machine"], one["build"]))
    kept[PYTHON] = {"calls": {name: counted[name]["calls"] for name in OWN}, "builds": builds}
    path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _is_of(one: Build, other: Build) -> bool:
    return one.machine == other.machine and abs(one.ruler / other.ruler - 1) <= SAME_BUILD


def check(counted: Calls, found: Instructions | None) -> list[str]:
    """Compare all with the kept figures of this version of Python; no lines if none are kept."""
    kept = load().get(PYTHON)
    if kept is None:
        return []
    slower = check_calls(counted, kept["calls"])
    build = found and nearest(found, [Build(**one) for one in kept["builds"]])
    return slower + (check_instructions(found, build) if found and build else [])


def figures(counted: Calls, runs: list[Instructions]) -> list[Figure]:
    """Return the counts as figures."""
    made = []
    for name in counted if runs else ():
        whole = spread([one.whole[name] for one in runs])
        made.append(Figure.of("instructions", name, "instructions", whole, column="in all"))
        if name in OWN:
            own = spread([one.own[name] for one in runs])
            made.append(Figure.of("instructions", name, "instructions", own, column="doorward's own"))
    if not runs:
        made.append(Figure("instructions", "doorward", "instructions", note="valgrind is not installed"))
    made += [
        Figure("calls of functions", name, "calls", *[float(counted[name]["calls"])] * 3) for name in OWN
    ]
    return made


def main() -> int:
    """Count, and compare or keep."""
    parser = Report.arguments(__doc__, runs=3)
    parser.add_argument(
        "--keep", action="store_true", help=f"keep the figures in {KEPT.name}, for this build"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare only; exit status 1 if any case is slower"
    )
    chosen = parser.parse_args()
    given = [material() for _ in range(1 if chosen.check else chosen.runs)]
    counted = calls(given[0])
    runs = [instructions(one, counted) for one in given] if shutil.which("valgrind") else []
    found = runs[0] if runs else None
    if chosen.keep:
        keep(counted, found)
    slower = check(counted, found)
    for one in slower:
        print(f"slower: {one}", file=sys.stderr)
    if chosen.check:
        return 1 if slower else 0
    report = Report("counted", chosen.runs, versions_of(["doorward", "cryptography"]))
    report.facts = {"counted by": "callgrind and sys.setprofile", "a case is done": f"{TURNS} times"}
    report.figures = figures(counted, runs)
    report.finish(save=chosen.save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
