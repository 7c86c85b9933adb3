"""The emulator that is running already: how a command finds it, and asks it."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Final

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.issuers.google import EMULATOR_VARIABLE
from doorward.regular_file import read_regular_file
from doorward.shown import shown
from doorward_integrations.cli.serving import DEFAULT_PORT

__all__ = ["Running", "add_running_arguments", "running_of"]

# As doorward_integrations.emulator.interface has them, whose import takes ten times as long as a request.
_HEALTH_PATH: Final = "/healthz"
_CONTROL: Final = {"X-Doorward-Emulator": "1", "Content-Type": "application/json"}
_SECONDS: Final = 10.0
_LARGEST_ANSWER: Final = 4 * 1024 * 1024
_SHOWN: Final = 300


def add_running_arguments(parser: ArgumentParser) -> None:
    """Add what says where the emulator is.

    Args:
        parser: The parser of the command.
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", metavar="URL", help="where the emulator is: http://127.0.0.1:PORT")
    where.add_argument("--ready-file", metavar="PATH", help="the file that start --ready-file has written")


def running_of(chosen: Namespace) -> Running:
    """Find the emulator: by ``--url``, ``--ready-file``, ``DOORWARD_EMULATOR_HOST``, or at the default port.

    Args:
        chosen: The parsed arguments.

    Returns:
        Where it should be; nothing was asked yet.

    Raises:
        ConfigurationError: If that is no port of this machine, or the file cannot be read.
    """
    if chosen.url is not None:
        return Running(chosen.url.removeprefix("http://").removesuffix("/"), "--url")
    if chosen.ready_file is not None:
        return Running(_host_in(Path(chosen.ready_file)), f"--ready-file {chosen.ready_file}")
    host = os.environ.get(EMULATOR_VARIABLE)
    return (
        Running(f"127.0.0.1:{DEFAULT_PORT}", "default") if host is None else Running(host, EMULATOR_VARIABLE)
    )


def _host_in(path: Path) -> str:
    try:
        host = json.loads(read_regular_file(path, _LARGEST_ANSWER))["host"]
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is not there: no emulator that was to write it is ready") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} is no file of a ready emulator: {type(error).__name__}") from None
    return str(host)


class Running:
    """An emulator that should be running.

    Attributes:
        host: Its ``HOST:PORT``.
    """

    host: Final[str]

    def __init__(self, host: str, source: str) -> None:
        """Name an emulator; nothing is asked yet.

        Args:
            host: Its ``HOST:PORT``.
            source: What named it, for errors.

        Raises:
            ConfigurationError: If it is no port of this machine.
        """
        if not is_on_this_machine(host):
            raise ConfigurationError(
                f"{source}: {host[:_SHOWN]!r} must be a port of this machine, such as "
                f"127.0.0.1:{DEFAULT_PORT}"
            )
        self.host = host

    @property
    def url(self) -> str:
        """Its URL, without a slash at its end."""
        return f"http://{self.host}"

    def health(self) -> dict[str, Any]:
        """Ask how it is.

        Returns:
            What it answers at ``/healthz``.

        Raises:
            ConfigurationError: If no emulator answers there.
        """
        answer = self._ask("GET", _HEALTH_PATH, None)
        if answer.get("emulator") != "doorward":
            raise ConfigurationError(f"what answers at {self.url} is no emulator of doorward")
        return answer

    def get(self, path: str) -> dict[str, Any]:
        """Ask for what is there, after a look whether it is an emulator that answers there.

        Args:
            path: The path, percent-encoded.

        Returns:
            The answer, a JSON object.

        Raises:
            ConfigurationError: If no emulator answers there, or it refuses.
        """
        self.health()
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for something, after a look whether it is an emulator that answers there.

        Args:
            path: The path, percent-encoded.
            body: What is asked, as JSON.

        Returns:
            The answer, a JSON object.

        Raises:
            ConfigurationError: If no emulator answers there, or it refuses.
        """
        self.health()
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> dict[str, Any]:
        # Of the standard library: it heeds no proxy and follows no redirect.
        import http.client  # noqa: PLC0415 - 10 ms, which the start of an emulator would wait for

        host, _, port = self.host.rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_SECONDS)
        try:
            connection.request(method, path, body, _CONTROL)
            answer = connection.getresponse()
            status, content = answer.status, answer.read(_LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ConfigurationError(
                f"no emulator answers at {self.url} ({reason}): start one with doorward emulator start, or "
                "say where it is with --url"
            ) from None
        finally:
            connection.close()
        if status != http.client.OK:
            raise ConfigurationError(f"the emulator at {self.url} answers {status}: {_said(content)}")
        found = _parsed(content)
        if not isinstance(found, dict):
            raise ConfigurationError(f"what answers at {self.url} is no emulator of doorward")
        return found


def _parsed(content: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _said(content: bytes) -> str:
    """Return what an answer says is wrong, else its beginning, on one line."""
    try:
        text = str(_parsed(content)["error"]["message"])
    except (KeyError, TypeError):
        text = content[:_SHOWN].decode("utf-8", "replace")
    return shown(" ".join(text.split()), _SHOWN)
