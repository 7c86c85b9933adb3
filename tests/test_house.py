"""The house as a reader finds it: its rooms, its surface, the size of its parts, and its words."""

from __future__ import annotations

import ast
import pydoc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import doorward
from doorward import Verifier

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "verifier").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")])
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
ARCHITECTURE = ROOT / "docs" / "architecture.md"
LONGEST_FUNCTION = 45
LONGEST_MODULE = 350


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_is_too_long_to_be_seen_at_once() -> None:
    lengths = {
        f"{named(path)}:{one.name}": (one.end_lineno or one.lineno) - one.lineno + 1
        for path in SOURCES
        for one in functions(path)
    }

    assert {} == {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


def test_no_module_is_too_long_to_be_one_room() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {} == {name: length for name, length in lengths.items() if length > LONGEST_MODULE}


def test_every_name_of_the_root_occurs_in_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

    assert [] == [name for name in doorward.__all__ if not re.search(rf"\b{name}\b", text)]


def test_the_help_of_a_verifier_begins_with_what_a_user_calls() -> None:
    text = pydoc.render_doc(Verifier, renderer=pydoc.plaintext)  # type: ignore[attr-defined]  # the stubs leave it out
    public = [name for name in vars(Verifier) if not name.startswith("_")]

    assert ["verify", "averify", "key_caches", "warm", "awarm"] == public
    for name in public:
        assert name in text


# Words that a reader who has learnt English as a second language stumbles over, and those with two meanings.
IDIOMS = re.compile(
    r"\b(nobody|whoever|somebody|anybody|not to be had|told|stranger|spelled|spelling)\b", re.IGNORECASE
)


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=named)
def test_the_prose_has_none_of_the_idioms_that_the_glossary_leaves_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path == ARCHITECTURE:
        text = text.partition("## Glossary")[0]  # which names the words that are left out

    lines = enumerate(text.splitlines(), 1)
    assert [] == [f"{number}: {line.strip()}" for number, line in lines if IDIOMS.search(line)]


def drawn(heading: str) -> dict[str, set[str]]:
    """Read the rooms that the page draws: a name with a slash, then the modules in it."""
    section = ARCHITECTURE.read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n###")[0]
    rooms: dict[str, set[str]] = {}
    for room, modules in re.findall(r"^\| `([a-z_/.]+)` \| (.*?) \|", section, re.MULTILINE):
        rooms[room] = set(re.findall(r"`([a-z_0-9]+)`", modules))
    return rooms


@pytest.mark.parametrize(
    ("heading", "package"),
    [("doorward", "verifier/doorward"), ("doorward_integrations", "integrations/doorward_integrations")],
)
def test_the_page_on_the_architecture_draws_the_rooms_that_are_there(heading: str, package: str) -> None:
    root = ROOT / package
    there: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        room = f"{path.parent.relative_to(root)}/" if path.parent != root else "./"
        if path.stem != "__init__":
            there.setdefault(room, set()).add(path.stem)

    assert there == drawn(heading)
