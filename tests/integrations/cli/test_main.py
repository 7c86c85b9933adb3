"""The command line, called right and called wrong."""

from __future__ import annotations

import io
import os
import socket
import sys
import threading

import httpx
import pytest

from doorward_integrations.cli.main import main
from doorward_integrations.cli.serve import serve_emulator


def test_called_without_a_command_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([])

    assert 2 == left.value.code
    assert "COMMAND" in capsys.readouterr().err


def test_called_with_an_unknown_command_it_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["demonstrate"])

    assert 2 == left.value.code
    assert "'demo', 'emulator'" in capsys.readouterr().err


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])

    assert 0 == left.value.code
    assert capsys.readouterr().out.startswith("doorward 0.")


def test_a_port_in_use_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status = main(["emulator", "--port", str(taken.getsockname()[1])])

    error = capsys.readouterr().err
    assert 2 == status
    assert "cannot listen on 127.0.0.1" in error
    assert 1 == error.count("\n")


def test_a_user_as_the_machine_s_account_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["emulator", "--account", "somebody@example.com"])
    assert "is a user's address" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "doorward_integrations.cli.demo", raising=False)
    monkeypatch.delitem(sys.modules, "doorward_integrations.fastapi", raising=False)

    assert 2 == main(["demo"])
    assert "fastapi is not installed: pip install 'doorward[demo]'" in capsys.readouterr().err


class _FirstLines(io.StringIO):
    """Tells when the last of the variables was printed."""

    def __init__(self) -> None:
        super().__init__()
        self.complete = threading.Event()

    def flush(self) -> None:
        if "DOORWARD_EMULATOR_HOST" in self.getvalue():
            self.complete.set()


def test_the_emulator_prints_the_variables_that_lead_to_it_and_serves_until_it_is_stopped() -> None:
    out, stop = _FirstLines(), threading.Event()
    server = threading.Thread(target=serve_emulator, args=(0, None, out, stop))
    server.start()
    try:
        assert out.complete.wait(10)
        exports = dict(
            line.removeprefix("export ").split("=") for line in out.getvalue().splitlines() if "=" in line
        )
        names = {"GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT", "DOORWARD_EMULATOR_HOST"}
        assert names == set(exports)
        answer = httpx.get(f"http://{exports['DOORWARD_EMULATOR_HOST']}/oauth2/v3/certs", trust_env=False)
        assert 200 == answer.status_code
    finally:
        stop.set()
        server.join(10)
    assert not server.is_alive()
    assert not set(exports) & set(os.environ)
