"""The third part of ``doorward demo``: a service that is not made with doorward, behind the gateway.

The service is a process of its own, started as from a shell: Python's static file server, which knows nothing
of tokens.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx

from doorward import ConfigurationError, Door, InvokerPolicy, Verifier
from doorward_integrations.emulator import DEFAULT_ACCOUNT
from doorward_integrations.gateway import Gateway, GatewayServer, Upstream

__all__ = ["gateway_rows"]

_AUDIENCE: Final = "https://files-1234567890.europe-west1.run.app"
_FILE: Final = "a static file"
_PORT: Final = re.compile(r" port (\d+) ")


def gateway_rows(fetch: Callable[[str], str]) -> Iterator[tuple[str, str, str]]:
    """Ask the gateway with a token and without one.

    Args:
        fetch: Fetches an ID token for an audience.

    Yields:
        A request, the expected answer, and the one that was seen.

    Raises:
        ConfigurationError: If the static server does not start.
    """
    door = Door(Verifier(_AUDIENCE), InvokerPolicy.from_members([f"serviceAccount:{DEFAULT_ACCOUNT}"]))
    with _static_server() as url, GatewayServer(Gateway(door, Upstream(url)), linger=0) as server:

        def seen(**headers: str) -> str:
            answer = httpx.get(f"{server.url}/file.txt", headers=headers, trust_env=False)
            return f"{answer.status_code} {answer.text if answer.is_success else 'refused'}"

        token = fetch(_AUDIENCE)
        yield "a static server behind the gateway", f"200 {_FILE}", seen(authorization=f"Bearer {token}")
        yield "the same without a credential", "403 refused", seen()


@contextlib.contextmanager
def _static_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file.txt").write_text(_FILE, encoding="utf-8")
        command = [
            sys.executable,
            "-u",
            "-m",
            "http.server",
            "0",
            "--bind",
            "127.0.0.1",
            "--directory",
            folder,
        ]
        with subprocess.Popen(  # noqa: S603 - a command of our own
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                found = _PORT.search(process.stdout.readline())
                if found is None:
                    raise ConfigurationError("the static server of the demo did not start")
                yield f"http://127.0.0.1:{found[1]}"
            finally:
                process.kill()
