"""The table of the variables: what the page, the arguments and the code say of them is the same."""

from __future__ import annotations

import re
from pathlib import Path

from doorward_integrations.cli.child.guard import MARK
from doorward_integrations.settings import settings
from doorward_integrations.settings.values import IN_CODE_ONLY, Explicit, Values
from doorward_integrations.settings.variables import OF_DOORWARD, VARIABLES

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "operations" / "settings.md"


def test_the_page_has_a_row_for_every_variable_and_no_other() -> None:
    rows = re.findall(
        r"^\| `(DOORWARD_[A-Z_]+)` \| (.*?) \| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )

    expected = [
        (one.name, one.what, f"`{one.shown_default}`" if one.shown_default else "-")
        for one in VARIABLES.values()
    ]
    assert expected == rows


def test_every_setting_is_an_argument_and_an_attribute() -> None:
    about = {"names", "environ", "name_of"}

    assert [*VARIABLES, *IN_CODE_ONLY] == [*Explicit.__annotations__]
    assert [*VARIABLES, *IN_CODE_ONLY] == [one for one in Values.__dataclass_fields__ if one not in about]


def test_the_page_names_what_no_variable_sets() -> None:
    text = PAGE.read_text("utf-8")

    assert [] == [one for one in IN_CODE_ONLY if f"`{one}`" not in text]


def test_no_other_variable_of_that_prefix_is_read() -> None:
    sources = [*(ROOT / "verifier").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")]
    read = {
        name
        for path in sources
        for name in re.findall(r'environ[^\n]*"(DOORWARD_\w+)"', path.read_text("utf-8"))
    }

    assert read <= {one.name for one in VARIABLES.values()}


def test_a_default_is_that_of_the_library() -> None:
    assert ("30", "16384", "false", "86400") == tuple(
        VARIABLES[one].shown_default
        for one in ("leeway", "max_token_bytes", "accept_gcloud_tokens", "key_max_stale")
    )


def test_a_command_under_the_emulator_reads_its_settings() -> None:
    assert {MARK} == OF_DOORWARD
    assert 9.0 == settings({MARK: "1", "DOORWARD_LEEWAY": "9"}).leeway
