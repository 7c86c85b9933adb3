"""The documents keep their word: what they link to is there, and the tests that they name exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
_TEST = re.compile(r"(?P<file>[\w/]+\.py)::(?P<name>\w+)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def prose(document: Path) -> str:
    """Give the text of a document without its code blocks."""
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """Give the fragments that lead to the headings of a document, as they are made from the text."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(document)))
    return {heading.replace(" ", "-") for heading in plain}


def links(document: Path) -> Iterator[tuple[str, Path, str]]:
    """Give text, file and fragment of every link within the project."""
    for match in _LINK.finditer(prose(document)):
        target = match["target"]
        if not _SCHEME.match(target):
            path, _, fragment = target.partition("#")
            yield match["text"], (document.parent / unquote(path)) if path else document, fragment


def names_of_tests(path: Path) -> set[str]:
    """Give the names of the tests of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


@each_document
def test_every_link_within_the_project_leads_to_a_file(document: Path) -> None:
    assert [] == [str(path) for _, path, _ in links(document) if not path.exists()]


@each_document
def test_no_link_within_the_project_leads_out_of_it(document: Path) -> None:
    assert [] == [
        str(path) for _, path, _ in links(document) if not path.resolve().is_relative_to(ROOT.resolve())
    ]


@each_document
def test_every_fragment_of_a_link_is_a_heading(document: Path) -> None:
    broken = [
        f"{path.name}#{fragment}"
        for _, path, fragment in links(document)
        if fragment and path.suffix == ".md" and fragment not in anchors(path)
    ]
    assert [] == broken


@each_document
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = [
        (path, match["file"], match["name"])
        for text, path, _ in links(document)
        if (match := _TEST.search(text)) is not None
    ]
    assert [] == [
        f"{file}::{name}" for path, file, name in named if path.exists() and name not in names_of_tests(path)
    ]
    assert [] == [f"{file}::{name}" for path, file, name in named if not path.as_posix().endswith(file)]


@each_document
def test_every_test_that_a_document_names_is_linked_to(document: Path) -> None:
    linked = [match[0] for text, _, _ in links(document) for match in _TEST.finditer(text)]
    assert sorted(linked) == sorted(match[0] for match in _TEST.finditer(prose(document)))


@pytest.mark.parametrize(
    "name",
    [
        "key-cache.md",
        "operations/logging.md",
        "operations/metrics.md",
        "operations/outages.md",
        "operations/settings.md",
        "threat-model.md",
        "watched-policy.md",
    ],
)
def test_a_document_of_promises_names_the_tests_that_hold_them(name: str) -> None:
    assert list(_TEST.finditer(prose(ROOT / "docs" / name)))


@each_document
def test_every_python_block_compiles(document: Path) -> None:
    for language, code in _FENCE.findall(document.read_text(encoding="utf-8")):
        if language == "python":
            compile(code, document.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@each_document
def test_every_code_block_ends(document: Path) -> None:
    assert "```" not in prose(document)
