"""``doorward relay``: a loopback port that attaches tokens of the emulator that is running."""

from __future__ import annotations

import argparse
import io
import re
import threading

import httpx
import pytest

from doorward_integrations.cli.commands import relay
from doorward_integrations.cli.main import main
from doorward_integrations.emulator import Emulator

ACCOUNT = "pusher@orders.iam.gserviceaccount.com"


class FirstLine(io.StringIO):
    """Tells when the first line was printed."""

    def __init__(self) -> None:
        super().__init__()
        self.complete = threading.Event()

    def flush(self) -> None:
        if "listening on" in self.getvalue():
            self.complete.set()


def test_it_prints_where_it_listens_and_serves_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    relay.add_arguments(parser)
    out, stop = FirstLine(), threading.Event()
    with Emulator().serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        chosen = parser.parse_args(["--to", running.url, "--as", ACCOUNT, "--audience", "a"])
        server = threading.Thread(target=relay.serve_relay, args=(chosen, out, stop))
        server.start()
        try:
            assert out.complete.wait(10)
            url = re.findall(r"http://[0-9.:]+", out.getvalue())[0]
            assert 200 == httpx.get(f"{url}/oauth2/v3/certs", trust_env=False).status_code
        finally:
            stop.set()
            server.join(10)
    assert not server.is_alive()


def test_without_an_emulator_it_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["relay", "--to", "http://127.0.0.1:9", "--as", ACCOUNT, "--audience", "a"])

    assert 2 == status
    assert "run `doorward emulator start`" in capsys.readouterr().err
