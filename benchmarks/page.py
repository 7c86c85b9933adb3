"""Put the kept figures into ``docs/benchmarks.md``, and draw its plots.

The text that a person has written stays. What stands between ``<!-- figures: SUITE -->`` (or
``SUITE / GROUP``) and ``<!-- end -->`` is generated from ``results/SUITE.json``: no figure there is typed.

::

    python benchmarks/page.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.figures import RESULTS, Figure, Report, table

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
PLOTS = DOCS / "benchmarks"

_REGION = re.compile(
    r"(<!-- figures: (?P<suite>\w+)(?: / (?P<group>[^\n]+?))? -->\n).*?(<!-- end -->)", re.DOTALL
)
_OURS, _THEIRS = "#1a73e8", "#9aa0a6"


def filled(text: str, reports: Mapping[str, Report]) -> str:
    """Fill every region of the page.

    Args:
        text: The page.
        reports: The kept figures by suite.

    Returns:
        The page with all regions filled.

    Raises:
        KeyError: If a region names a suite or a group that is not kept.
    """

    def fill(found: re.Match[str]) -> str:
        report, wanted = reports[found["suite"]], found["group"]
        groups = dict.fromkeys(one.group for one in report.figures)
        if wanted is not None and wanted not in groups:
            raise KeyError(f"no group {wanted!r} in the figures of {report.suite}")
        tables = [
            table([one for one in report.figures if one.group == group])
            for group in groups
            if wanted is None or group == wanted
        ]
        below = "" if wanted is not None else f"\n{conditions(report)}\n"
        return f"{found[1]}\n" + "\n\n".join(tables) + f"\n{below}\n{found[4]}"

    return _REGION.sub(fill, text)


def conditions(report: Report) -> str:
    """Return the conditions under which the figures were measured, as one paragraph."""
    facts = "; ".join(f"{name}: {fact}" for name, fact in report.facts.items())
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    return f"{report.runs} rounds, {report.python}{'; ' if facts else ''}{facts}. {versions}."


def bars(figures: Iterable[Figure], title: str, unit: str, path: Path) -> None:
    """Draw one bar for each figure, the spread as a line, on a scale of powers of ten."""
    import matplotlib as mpl  # noqa: PLC0415 - only the plots need it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "doorward"  # the same figures give the same file
    mpl.rcParams["font.family"] = "sans-serif"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its settings

    shown = sorted((one for one in figures if one.value is not None), key=lambda one: one.value or 0.0)
    names = [one.contender for one in shown]
    values = [one.value or 0.0 for one in shown]
    spread = [
        [value - (one.low or value) for one, value in zip(shown, values, strict=True)],
        [(one.high or value) - value for one, value in zip(shown, values, strict=True)],
    ]
    plot, axes = plt.subplots(figsize=(8, 0.6 + 0.32 * len(shown)))
    colours = [_OURS if name.startswith("doorward") else _THEIRS for name in names]
    axes.barh(names, values, xerr=spread, color=colours, ecolor="#5f6368", height=0.7)
    axes.set_xscale("log")
    axes.invert_yaxis()
    for place, value in enumerate(values):
        axes.text(value * 1.06, place, f"{value:.3g}", va="center", fontsize=8)
    axes.set_xlim(right=max(values) * 2)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(unit, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    plot.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(plot)


PICTURES: Mapping[str, tuple[str, str, str]] = {
    "never-seen": ("tokens", "a token never seen, RS256", "A token never seen, in RSA verifications"),
    "seen": ("tokens", "a token seen before, RS256", "A token seen before, in RSA verifications"),
}
"""By file name: suite, group and title of each plot."""


def main() -> None:
    """Write the page and its plots."""
    reports = {path.stem: Report.load(path.stem) for path in sorted(RESULTS.glob("*.json"))}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), reports), encoding="utf-8")
    PLOTS.mkdir(exist_ok=True)
    for name, (suite, group, title) in PICTURES.items():
        figures = [one for one in reports[suite].figures if one.group == group]
        bars(figures, title, figures[0].unit, PLOTS / f"{name}.svg")


if __name__ == "__main__":
    main()
