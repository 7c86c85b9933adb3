"""The page on outages: its numbers are those of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from doorward import CloudIdentityGroups, KeyCache, Verifier, WatchedPolicy
from doorward.door.log import DoorLog

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations" / "outages.md"
TEXT = PAGE.read_text(encoding="utf-8")
CLASSES = {one.__name__: one for one in (CloudIdentityGroups, DoorLog, KeyCache, Verifier, WatchedPolicy)}
ROWS = re.findall(r"^\| `(\w+)\.(\w+)` \| ([\d,]+)(?: s)? \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("name", "setting", "number"), ROWS, ids=str)
def test_the_numbers_of_the_page_are_the_defaults(name: str, setting: str, number: str) -> None:
    default = inspect.signature(CLASSES[name]).parameters[setting].default

    assert float(number.replace(",", "")) == default


def test_the_page_has_a_row_for_each_part() -> None:
    assert set(CLASSES) == {name for name, _, _ in ROWS}
