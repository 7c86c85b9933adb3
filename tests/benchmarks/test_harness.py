"""The harness that every suite measures with."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from doorward import Issuer, KeyCache, Verifier
from doorward.errors import SignatureError
from doorward.keys.fetch import FetchResponse

figures = import_module("harness.figures")
tokens = import_module("harness.tokens")
# By another name than its own: the module has a function of that name.
measuring = import_module("harness.rounds")

Figure, Spread = figures.Figure, measuring.Spread


class TestRounds:
    def test_each_contender_has_one_sample_a_round_and_those_to_warm_up_do_not_count(self) -> None:
        made: dict[str, list[float]] = {"a": [], "b": []}

        def sample(name: str) -> float:
            made[name].append(len(made[name]))
            return made[name][-1]

        taken = measuring.rounds({name: lambda name=name: sample(name) for name in made}, 4, warm=2)

        assert {"a": [2, 3, 4, 5], "b": [2, 3, 4, 5]} == taken

    def test_all_take_their_turn_before_any_has_another(self) -> None:
        order: list[str] = []

        def sample(name: str) -> float:
            order.append(name)
            return 0.0

        measuring.rounds({name: lambda name=name: sample(name) for name in "abcd"}, 8)

        turns = ["".join(order[at : at + 4]) for at in range(0, len(order), 4)]
        assert 9 == len(turns)
        assert all("abcd" == "".join(sorted(turn)) for turn in turns)
        assert len(set(turns)) > 1

    def test_a_sample_of_a_quick_function_is_per_call(self) -> None:
        called = 0

        def work() -> None:
            nonlocal called
            called += 1

        assert 0 < measuring.per_call(work, 250)() < 0.1
        assert 250 == called

    def test_a_ratio_is_made_within_each_round(self) -> None:
        """A machine that is ten times slower for one round changes no ratio."""
        assert Spread(2.0, 2.0, 2.0) == measuring.ratio([2.0, 20.0, 2.0], [1.0, 10.0, 1.0])

    def test_a_ratio_of_rounds_that_do_not_match_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            measuring.ratio([1.0, 2.0], [1.0])

    @pytest.mark.parametrize(
        ("values", "expected"),
        [([3.0], (3.0, 3.0, 3.0)), ([1.0, 3.0], (2.0, 1.5, 2.5)), ([5, 1, 4, 2, 3], (3, 2, 4))],
    )
    def test_a_spread_is_the_median_with_the_quartiles(
        self, values: list[float], expected: tuple[float, ...]
    ) -> None:
        assert expected == measuring.spread(values)


class TestFigures:
    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            ((1.0, 1.0, 1.0), "1.00"),
            ((1.234, 1.2, 1.3), "1.23 (1.20 to 1.30)"),
            ((1.234, 1.2341, 1.2349), "1.23"),
            ((12.34, 12.2, 12.5), "12.3 (12.2 to 12.5)"),
            ((123.4, 120.0, 130.0), "123 (120 to 130)"),
            ((12345.6, 12000.0, 13000.0), "12,346 (12,000 to 13,000)"),
            ((0.0, 0.0, 0.0), "0.00"),
        ],
    )
    def test_a_figure_shows_three_digits_or_a_whole_number(
        self, found: tuple[float, float, float], expected: str
    ) -> None:
        assert expected == str(Figure.of("group", "contender", "us", Spread(*found)))

    def test_a_missing_figure_is_a_dash(self) -> None:
        assert "-" == str(Figure("group", "contender", "us", note="cannot do it"))

    def test_a_table_has_a_row_a_contender_and_a_column_a_size(self) -> None:
        given = [
            Figure("cost", "one", "us", 1.0, 1.0, 1.0, column="10"),
            Figure("cost", "one", "us", 2.0, 2.0, 2.0, column="100"),
            Figure("cost", "other", "us", 3.0, 3.0, 3.0, column="100"),
        ]
        assert [
            "| cost | 10 [us] | 100 [us] |",
            "|---|--:|--:|",
            "| one | 1.00 | 2.00 |",
            "| other |  | 3.00 |",
        ] == figures.table(given).splitlines()

    def test_notes_stand_in_a_column_of_their_own_each_once(self) -> None:
        given = [
            Figure("cost", "one", "us", 1.0, 1.0, 1.0, "half the work", "a"),
            Figure("cost", "one", "us", 1.0, 1.0, 1.0, "half the work", "b"),
            Figure("cost", "other", "us", None, column="a"),
        ]
        assert [
            "| cost | a [us] | b [us] | note |",
            "|---|--:|--:|---|",
            "| one | 1.00 | 1.00 | half the work |",
            "| other | - |  |  |",
        ] == figures.table(given).splitlines()

    def test_a_report_that_is_kept_reads_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")
        report = figures.Report("some", 3, {"doorward": "0"}, {"unit": "1 us"})
        report.figures = [Figure("cost", "one", "us", 1.0, 0.9, 1.1), Figure("cost", "two", "us", note="no")]

        report.finish(save=True)

        assert report == figures.Report.load("some")
        printed = capsys.readouterr().out
        assert "| one | 1.00 (0.90 to 1.10) |" in printed
        assert "unit: 1 us; CPython" in printed

    def test_a_report_that_is_not_kept_writes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")

        figures.Report("some", 1, {}, figures=[Figure("cost", "one", "us", 1.0, 1.0, 1.0)]).finish(save=False)

        assert [] == list(tmp_path.iterdir())
        assert "Not kept" in capsys.readouterr().err

    def test_a_package_that_is_not_installed_has_no_version(self) -> None:
        assert ["doorward"] == list(figures.versions_of(["doorward", "no-such-package-anywhere"]))


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_the_tokens_of_the_harness_are_good_and_those_of_another_key_are_not(alg: str) -> None:
    key = tokens.Key(alg)
    issuer = Issuer(
        name="bench", iss_values=(tokens.ISSUER,), key_url="https://keys.example.com", algorithms=(alg,)
    )
    verifier = Verifier(
        tokens.AUDIENCE,
        issuers=[issuer],
        key_cache=lambda one: KeyCache(
            one.key_url, one.algorithms, fetch=lambda *_: FetchResponse(key.jwks, {})
        ),
    )

    assert tokens.CALLER == verifier.verify(key.token()).claims["email"]
    assert 2 == len({verifier.verify(key.token(number)).claims["azp"] for number in (1, 2)})
    assert 100 == len(str(verifier.verify(key.token(filler=100)).claims["filler"]))
    with pytest.raises(SignatureError):
        verifier.verify(tokens.Key(alg).token())


def test_an_unknown_suite_is_refused_with_the_names_of_the_others() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "run.py"
    done = subprocess.run(
        [sys.executable, str(script), "nonesuch"], capture_output=True, text=True, timeout=60, check=False
    )
    assert 2 == done.returncode
    assert "no suite nonesuch" in done.stderr
    assert "counted" in done.stderr
    assert "_counted_work" not in done.stderr
