"""No input makes any parser do more work than in proportion to its size: counted, not timed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.growth import SIZES, Input, inputs, read

ROOT = Path(__file__).resolve().parents[2]
MOST = 2.2
"""Times the instructions that an input of twice the size may take."""
SMALL = 400_000
"""Instructions under which a ratio says nothing, since most are spent on other things than the input."""

needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind")


def steps(parser: str, text: str) -> int:
    """Count the lines and calls that Python takes for it: a cheap first look, blind to what C code does."""
    seen = 0

    def see(*_: object) -> object:
        nonlocal seen
        seen += 1
        return see

    sys.settrace(see)  # type: ignore[arg-type]  # it returns itself
    try:
        read(parser, text)
    finally:
        sys.settrace(None)
    return seen


def test_no_input_makes_python_take_more_steps_than_in_proportion() -> None:
    found = {one: [steps(one.parser, one.of(size)) for size in SIZES] for one in inputs()}

    assert {} == {one: pair for one, pair in found.items() if pair[1] > MOST * pair[0] and pair[1] > 2_000}


@needs_valgrind
def test_no_input_takes_more_instructions_than_in_proportion(tmp_path: Path) -> None:
    chosen = list(inputs())
    found = counted(chosen, tmp_path)

    assert len(chosen) == len(found)
    worse = {one: pair for one, pair in found.items() if pair[1] > MOST * pair[0] and pair[1] > SMALL}
    assert {} == worse


def counted(chosen: list[Input], folder: Path) -> dict[Input, tuple[int, int]]:
    """Count the instructions of each input in both sizes, in one process under callgrind."""
    out = folder / "out"
    marks = [f"--zero-before={prefix}getpriority" for prefix in ("", "__")]
    marks += [f"--dump-before={prefix}getsid" for prefix in ("", "__")]
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-line=no", *marks]
    folders = os.pathsep.join(str(ROOT / one) for one in ("verifier", "integrations", "tests"))
    subprocess.run(
        [*command, sys.executable, "-m", "fuzz.growth"],
        input=json.dumps(chosen),
        env=os.environ | {"PYTHONPATH": folders, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    dumps = sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    # One for each input in each size, and one of what came after.
    totals = [total(path) for path in dumps[: 2 * len(chosen)]]
    return {one: (totals[2 * at], totals[2 * at + 1]) for at, one in enumerate(chosen)}


def total(dump: Path) -> int:
    found = re.search(r"^summary: (\d+)", dump.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return int(found[1])
