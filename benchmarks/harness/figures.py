"""Figures: the results of a suite, printed as tables and kept in a file from which the page is generated."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.rounds import Spread

__all__ = ["RESULTS", "Figure", "Report", "versions_of"]

RESULTS = Path(__file__).parents[1] / "results"
"""The folder of the kept figures, one file for each suite."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        group: The work that was measured: its table. All figures of a group have the same unit.
        contender: The library or the part that did the work: its row.
        unit: The unit: ``verifies``, ``us``, ``% of bare``, ``ms``, ``modules``, ...
        value: The median; None where the contender cannot do the work, as the note says.
        low: The lower quartile.
        high: The upper quartile.
        note: What a reader must know: for example which part of the work a contender leaves out.
        column: The column, where a contender has several figures in one group: a size or a count.
    """

    group: str
    contender: str
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    column: str = ""

    @classmethod
    def of(  # noqa: PLR0917 - as the fields
        cls, group: str, contender: str, unit: str, found: Spread, note: str = "", column: str = ""
    ) -> Figure:
        """Make a figure of a spread."""
        return cls(group, contender, unit, found.median, found.low, found.high, note, column)

    def __str__(self) -> str:
        """Return the median, with the quartiles where they differ from it."""
        if self.value is None:
            return "-"
        middle, low, high = (_short(one) for one in (self.value, self.low, self.high))
        return middle if low == middle == high else f"{middle} ({low} to {high})"


def _short(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 10 else f"{value:.2f}"


@dataclass
class Report:
    """All figures of one run of one suite.

    Attributes:
        suite: Its name.
        runs: The number of rounds.
        versions: The versions of the packages and programs that took part.
        facts: Further conditions of the run, such as the time that one unit took.
        figures: The figures, in the order in which they are shown.
        python: The interpreter and its version.
    """

    suite: str
    runs: int
    versions: Mapping[str, str]
    facts: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    python: str = f"{platform.python_implementation()} {platform.python_version()}"

    @staticmethod
    def arguments(description: str | None, runs: int) -> argparse.ArgumentParser:
        """Return a parser of the settings that every suite has.

        Args:
            description: What the suite measures.
            runs: The number of rounds by default.
        """
        parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--runs", type=int, default=runs, help="interleaved rounds (now %(default)s)")
        parser.add_argument("--save", action="store_true", help="keep the figures for the page in docs/")
        return parser

    def tables(self) -> str:
        """Return the figures as tables in Markdown, one for each group."""
        return "\n\n".join(
            table([one for one in self.figures if one.group == group])
            for group in dict.fromkeys(one.group for one in self.figures)
        )

    def finish(self, *, save: bool) -> None:
        """Print the figures.

        Args:
            save: Whether to write them to `RESULTS` too.
        """
        print(self.tables())
        facts = [f"{name}: {fact}" for name, fact in self.facts.items()]
        print("\n" + "; ".join([*facts, self.python]) + ".")
        print(", ".join(f"{name} {number}" for name, number in self.versions.items()) + ".")
        if save:
            RESULTS.mkdir(exist_ok=True)
            text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
            (RESULTS / f"{self.suite}.json").write_text(text, encoding="utf-8")
        else:
            print("\nNot kept; --save keeps figures for the page.", file=sys.stderr)

    @classmethod
    def load(cls, suite: str) -> Report:
        """Read the kept figures of a suite."""
        kept = json.loads((RESULTS / f"{suite}.json").read_text(encoding="utf-8"))
        return cls(**kept | {"figures": [Figure(**one) for one in kept["figures"]]})


def table(figures: list[Figure]) -> str:
    """Return the figures of one group as a table: a row for each contender."""
    group, unit = figures[0].group, figures[0].unit
    columns = list(dict.fromkeys(one.column for one in figures))
    notes = any(one.note for one in figures)
    heads = [group, *(f"{column} [{unit}]" if column else unit for column in columns), *(["note"] * notes)]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * len(columns) + "|---" * notes + "|"]
    for contender in dict.fromkeys(one.contender for one in figures):
        row = {one.column: one for one in figures if one.contender == contender}
        cells = [str(row[column]) if column in row else "" for column in columns]
        note = "; ".join(dict.fromkeys(one.note for one in row.values() if one.note))
        lines.append("| " + " | ".join([contender, *cells, *([note] * notes)]) + " |")
    return "\n".join(lines)


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
