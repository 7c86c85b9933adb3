"""The page in docs/: every figure on it is a kept one."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

page = import_module("page")
run = import_module("run")
figures = import_module("harness.figures")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
REPORTS = {path.stem: figures.Report.load(path.stem) for path in sorted(figures.RESULTS.glob("*.json"))}


def test_the_page_shows_the_kept_figures_and_no_others() -> None:
    assert page.filled(TEXT, REPORTS) == TEXT


def test_the_page_names_every_suite_that_can_be_run() -> None:
    named = re.search(r"# one suite: ([a-z, \n#]+)\n\n", TEXT)

    assert named
    assert run.SUITES == sorted(re.findall(r"[a-z]+", named[1]))


@pytest.mark.parametrize("suite", sorted(REPORTS))
def test_every_kept_figure_is_on_the_page(suite: str) -> None:
    shown = re.findall(rf"<!-- figures: {suite}(?: / ([^\n]+?))? -->", TEXT)

    assert shown
    if "" not in shown:
        assert {one.group for one in REPORTS[suite].figures} == set(shown)


@pytest.mark.parametrize("suite", sorted(REPORTS))
def test_a_kept_figure_is_a_median_between_its_quartiles_or_says_why_there_is_none(suite: str) -> None:
    for one in REPORTS[suite].figures:
        if one.value is None:
            assert one.note, one
        else:
            assert one.low <= one.value <= one.high, one


def test_a_plot_is_drawn_of_groups_that_are_kept() -> None:
    for name, (suite, group, _) in page.PICTURES.items():
        assert group in {one.group for one in REPORTS[suite].figures}
        assert f"benchmarks/{name}.svg" in TEXT
        assert (ROOT / "docs" / "benchmarks" / f"{name}.svg").is_file()


def test_a_region_of_a_group_that_is_not_kept_is_a_mistake() -> None:
    suite = next(iter(REPORTS))

    with pytest.raises(KeyError, match="no group 'of nothing'"):
        page.filled(f"<!-- figures: {suite} / of nothing -->\n<!-- end -->", REPORTS)
    with pytest.raises(KeyError):
        page.filled("<!-- figures: nowhere -->\n<!-- end -->", REPORTS)
