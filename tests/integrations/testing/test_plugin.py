"""The pytest plugin, as a user's pytest loads it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

APP = """
    from doorward import Door, InvokerPolicy, Verifier
    door = Door(Verifier("https://orders.example"), InvokerPolicy.from_members(["user:ann@example.com"]))
"""


def pytest_on(folder: Path, code: str, *arguments: str) -> str:
    (folder / "app.py").write_text(textwrap.dedent(APP))
    (folder / "test_it.py").write_text(textwrap.dedent(code))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_it_is_found_by_itself_and_has_one_fixture(tmp_path: Path) -> None:
    out = pytest_on(tmp_path, "def test_it(doorward_issuer): doorward_issuer.jwks()", "--fixtures", "-v")
    assert 1 == sum(line.startswith("doorward") for line in out.splitlines())
    assert "doorward_issuer" in out


def test_it_imports_nothing_that_a_project_would_wait_for() -> None:
    code = (
        "import pytest, sys\n"
        "before = set(sys.modules)\n"
        "import doorward_integrations.testing.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    package = "doorward_integrations"
    own = {package, f"{package}.testing", f"{package}.testing.plugin", f"{package}.testing.running"}
    assert own == set(done.stdout.split())


def test_tests_do_not_leak_into_one_another(tmp_path: Path) -> None:
    code = """
        import pytest
        from app import door
        from doorward_integrations.testing import as_principal, assert_refused
        from doorward import ConfigurationError

        def test_a():
            block = as_principal(door, "ann@example.com")
            block.__enter__()
            assert door.admit([]).principal.email == "ann@example.com"
            block.__exit__(None, None, None)

        def test_b(doorward_issuer):
            doorward_issuer.stand_in_for(door)
            token = doorward_issuer.token_for("ann@example.com")
            assert door.admit([(b"authorization", b"Bearer " + token.encode())]).principal.email

        def test_c():
            assert door.admit([]).status == 403
            with pytest.raises(ConfigurationError, match="no door that is watched"):
                assert_refused(403)
            assert "admit" not in vars(door)
    """
    assert "3 passed" in pytest_on(tmp_path, code, "-q")


@pytest.mark.parametrize(
    "arguments", [["-n", "2"], ["-p", "no:doorward"]], ids=["xdist", "without the plugin"]
)
def test_as_principal_works_whatever_runs_the_tests(tmp_path: Path, arguments: list[str]) -> None:
    code = """
        import pytest
        from app import door
        from doorward_integrations.testing import as_principal

        @pytest.mark.parametrize("number", range(4))
        def test_a(number):
            with as_principal(door, "ann@example.com"):
                assert door.admit([]).principal.email == "ann@example.com"
    """
    assert "4 passed" in pytest_on(tmp_path, code, "-q", *arguments)


def test_an_asynchronous_test_of_anyio_works_with_a_plain_with(tmp_path: Path) -> None:
    code = """
        import pytest
        from app import door
        from doorward_integrations.testing import as_principal

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
        async def test_a(anyio_backend):
            with as_principal(door, "ann@example.com"):
                assert (await door.aadmit([])).principal.email == "ann@example.com"
            assert (await door.aadmit([])).status == 403
    """
    assert "2 passed" in pytest_on(tmp_path, code, "-q")


def test_a_failed_test_shows_what_the_door_decided(tmp_path: Path) -> None:
    code = """
        from app import door
        from doorward_integrations.testing import as_principal

        def test_a():
            with as_principal(door, "bob@example.com"):
                assert door.admit([]).status == 200
    """
    out = pytest_on(tmp_path, code)
    assert "what the door decided" in out
    assert "refused with 403: permission_denied: user:bob@example.com does not hold run.routes.invoke" in out
