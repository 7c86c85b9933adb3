"""The command line, called right and called wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from doorward_integrations.cli import commands
from doorward_integrations.cli.command import find_commands
from doorward_integrations.cli.main import main


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
        status = main(["emulator", "start", "--port", str(taken.getsockname()[1])])

    error = capsys.readouterr().err
    assert 2 == status
    assert "cannot listen on 127.0.0.1" in error
    assert 1 == error.count("\n")


def test_a_user_as_the_machine_s_account_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["emulator", "start", "--account", "user@example.com"])
    assert "is a user's address" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "doorward_integrations.cli.demonstration", raising=False)
    monkeypatch.delitem(sys.modules, "doorward_integrations.fastapi", raising=False)

    assert 2 == main(["demo"])
    assert "the demo needs fastapi: pip install 'doorward[demo]'" in capsys.readouterr().err


# One place for a command.


def test_a_command_is_one_file_in_the_folder_of_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "greet.py").write_text(
        'HELP = "say hello"\n'
        "def add_arguments(parser):\n    parser.add_argument('name')\n"
        "def run(chosen, out, stdin):\n    print('hello', chosen.name, file=out)\n    return 7\n"
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])

    assert 7 == main(["greet", "world"])
    assert "hello world" in capsys.readouterr().out
    names = {
        "demo",
        "emulator",
        "explain",
        "gateway",
        "greet",
        "keys",
        "relay",
        "send",
        "settings",
        "token",
        "verify",
    }
    assert names == set(find_commands())
    sys.modules.pop("doorward_integrations.cli.commands.greet")


def test_every_command_is_offered_without_any_extra() -> None:
    code = (
        "import sys\n"
        "for name in ('fastapi', 'flask', 'uvicorn', 'google', 'yaml', 'starlette.applications'):\n"
        "    sys.modules[name] = None\n"
        "from doorward_integrations.cli.main import main\n"
        "main(['--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    for name in find_commands():
        assert f"\n    {name} " in done.stdout
