"""The counted cost of verifications, compared with the kept figures; and the comparison itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

counted = import_module("suites.counted")
work = import_module("suites._counted_work")

KEPT: dict[str, Any] = counted.load()
HERE: dict[str, Any] = KEPT.get(counted.PYTHON, {})
NEVER, AGAIN, DOOR, GARBAGE = work.NEVER, work.AGAIN, work.DOOR, work.GARBAGE

needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")


@pytest.fixture(scope="module")
def given() -> Mapping[str, Any]:
    """A key, and tokens good and bad."""
    made: Mapping[str, Any] = work.material()
    return made


@pytest.fixture(scope="module")
def calls(given: Mapping[str, Any]) -> Mapping[str, Mapping[str, int]]:
    """The calls of functions that each case makes."""
    found: Mapping[str, Mapping[str, int]] = counted.calls(given)
    return found


@pytest.fixture(scope="module")
def instructions(given: Mapping[str, Any], calls: Mapping[str, Mapping[str, int]]) -> Any:
    """The instructions that each case takes."""
    return counted.instructions(given, calls)


# The counts of this run beside the kept ones. A version of Python without kept figures has nothing to compare
# with: these two tests do not exist for it, the ones after them do.

if HERE:

    def test_nothing_makes_more_calls_than_are_kept(calls: Mapping[str, Mapping[str, int]]) -> None:
        assert [] == counted.check_calls(calls, HERE["calls"])

    @needs_valgrind
    def test_nothing_takes_more_instructions_than_are_kept(instructions: Any) -> None:
        build = counted.nearest(instructions, [counted.Build(**one) for one in HERE["builds"]])
        assert [] == ([] if build is None else counted.check_instructions(instructions, build))


def test_a_token_seen_before_makes_a_third_of_the_calls(calls: Mapping[str, Mapping[str, int]]) -> None:
    assert calls[AGAIN]["calls"] * 3 <= calls[NEVER]["calls"]


def test_only_what_needs_a_signature_checks_one(calls: Mapping[str, Mapping[str, int]]) -> None:
    verifications = {name: calls[name][work.BARE] for name in (NEVER, work.FORGED, AGAIN, DOOR, GARBAGE)}
    assert {NEVER: 1, work.FORGED: 1, AGAIN: 0, DOOR: 0, GARBAGE: 0} == verifications


@needs_valgrind
def test_what_needs_no_signature_is_far_cheaper_on_any_build(instructions: Any) -> None:
    never = instructions.whole[NEVER]
    assert instructions.whole[AGAIN] * 5 <= never
    assert instructions.whole[DOOR] * 3 <= never
    assert instructions.whole[GARBAGE] * 3 <= never
    assert instructions.own[NEVER] <= instructions.whole[work.BARE]


# The kept figures themselves.


@pytest.mark.parametrize("python", KEPT)
def test_kept_figures_name_every_case_once_for_each_build(python: str) -> None:
    kept = KEPT[python]
    builds = [counted.Build(**one) for one in kept["builds"]]
    version = python.partition(" ")[2]

    assert set(work.OWN) == kept["calls"].keys()
    assert all(type(one) is int and one > 0 for one in kept["calls"].values())
    assert builds
    for build in builds:
        assert build.build.startswith(f"{version}.")
        assert set(work.OWN) == build.own.keys()
        assert all(type(one) is int and one > 0 for one in (*build.own.values(), build.ruler))
    for at, build in enumerate(builds):
        assert not any(counted._is_of(build, other) for other in builds[at + 1 :])


def test_figures_are_kept_for_the_oldest_version_and_the_newest_that_are_tested() -> None:
    assert {"CPython 3.11", "CPython 3.12", "CPython 3.13"} <= KEPT.keys()


# The comparison.


def found_with(**changed: int) -> Any:
    """Return the figures that `kept_as` keeps, except those that are changed."""
    own = {name: changed.get(name, 1_000) for name in work.OWN}
    return counted.Instructions({work.RULER: changed.get("ruler", 1_000)}, own)


def kept_as(**changed: Any) -> Any:
    build = counted.Build("3.11.0", counted.platform.machine(), 1_000, dict.fromkeys(work.OWN, 1_000))
    return replace(build, **changed)


@pytest.mark.parametrize(("own", "slower"), [(1_000, 0), (1_030, 0), (500, 0), (1_031, 1), (2_000, 1)])
def test_the_same_build_may_take_three_percent_more(own: int, slower: int) -> None:
    assert slower == len(counted.check_instructions(found_with(**{NEVER: own}), kept_as()))


@pytest.mark.parametrize(("own", "slower"), [(1_200, 0), (1_540, 0), (1_541, 1)])
def test_another_build_is_scaled_by_the_ruler_and_may_take_forty_percent_more(own: int, slower: int) -> None:
    found = found_with(**dict.fromkeys(work.OWN, 1_100) | {"ruler": 1_100, NEVER: own})
    assert slower == len(counted.check_instructions(found, kept_as()))


def test_a_case_that_is_not_kept_yet_is_reported() -> None:
    kept = kept_as(own={name: 1_000 for name in work.OWN if name != NEVER})
    (line,) = counted.check_instructions(found_with(), kept)
    assert NEVER in line


def test_a_slower_case_is_reported_with_the_way_to_keep_it() -> None:
    (line,) = counted.check_instructions(found_with(**{NEVER: 1_500}), kept_as())
    assert line.startswith("token never seen: 1,500 instructions, where 1,000 are kept (3.11.0) and 3% more")
    assert line.endswith("python benchmarks/run.py counted --keep")


def test_one_more_call_is_slower_and_one_fewer_is_not() -> None:
    kept = dict.fromkeys(work.OWN, 10)
    found = {name: {"calls": 10} for name in work.OWN} | {NEVER: {"calls": 11}, AGAIN: {"calls": 9}}
    (line,) = counted.check_calls(found, kept)
    assert line.startswith("token never seen: 11 calls of functions, where 10 are kept")


def test_the_build_with_the_nearest_ruler_is_compared_with() -> None:
    near, far = kept_as(ruler=1_020), kept_as(ruler=1_100)
    assert near is counted.nearest(found_with(), [far, near])


def test_another_architecture_is_never_compared_with() -> None:
    assert counted.nearest(found_with(), [kept_as(machine="another")]) is None


def test_keeping_replaces_the_figures_of_this_build_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "counted.json"
    calls = {name: {"calls": 5} for name in work.OWN}
    others = {"builds": [vars(kept_as(ruler=2_000)), vars(kept_as(ruler=1_002))], "calls": {}}
    path.write_text(json.dumps({"CPython 3.0": {"kept": "as it is"}, counted.PYTHON: others}), "utf-8")

    counted.keep(calls, found_with(**{AGAIN: 77}), path)

    kept = json.loads(path.read_text("utf-8"))
    assert {"kept": "as it is"} == kept["CPython 3.0"]
    assert dict.fromkeys(work.OWN, 5) == kept[counted.PYTHON]["calls"]
    by_ruler = {one["ruler"]: one["own"][AGAIN] for one in kept[counted.PYTHON]["builds"]}
    assert {1_000: 77, 2_000: 1_000} == by_ruler


def test_keeping_without_valgrind_leaves_the_instructions(tmp_path: Path) -> None:
    path = tmp_path / "counted.json"
    calls = {name: {"calls": 5} for name in work.OWN}
    counted.keep(calls, found_with(), path)

    counted.keep(calls, None, path)

    assert 1 == len(json.loads(path.read_text("utf-8"))[counted.PYTHON]["builds"])
