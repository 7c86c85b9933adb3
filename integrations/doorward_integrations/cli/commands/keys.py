"""``doorward keys``: lists, rotates and revokes the keys of a running emulator."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any, Final, TextIO

from doorward.errors import ConfigurationError
from doorward.issuers.google import EMULATOR_VARIABLE, emulator_in_environment
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "list, rotate or revoke the keys of a running emulator"

_PATH: Final = "/doorward/v1/keys"
_HEADERS: Final = {"X-Doorward-Emulator": "keys", "Content-Type": "application/json"}
_SECONDS: Final = 10.0
_LARGEST: Final = 4 * 1024 * 1024


def add_arguments(parser: ArgumentParser) -> None:
    """Add what to do, the issuer and the emulator.

    Args:
        parser: The parser of the command.
    """
    choices = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_action(choices.add_parser("list", help="print the published keys of every issuer"))
    rotate = choices.add_parser("rotate", help="sign with a new key from now on")
    rotate.add_argument(
        "--withdraw", action="store_true", help="publish the key that signed until now no longer"
    )
    revoke = choices.add_parser("revoke", help="publish a key no longer, at once")
    revoke.add_argument("kid", metavar="KID", help="the id of the key, as 'doorward keys list' prints it")
    for action in (rotate, revoke):
        _add_action(action)
        action.add_argument("--issuer", default="google", help="whose key (default: %(default)s)")


def _add_action(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--emulator", metavar="HOST:PORT", help=f"the emulator (default: what {EMULATOR_VARIABLE} names)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Ask the emulator, and print the keys that are published now.

    Args:
        chosen: The parsed arguments.
        out: Where they are printed: one line for each key, or JSON.
        stdin: Not read.

    Returns:
        The exit status, 0.

    Raises:
        ConfigurationError: If there is no emulator, or it refuses.
    """
    del stdin
    environ = dict(os.environ) if chosen.emulator is None else {EMULATOR_VARIABLE: chosen.emulator}
    host = emulator_in_environment(environ)
    if host is None:
        raise ConfigurationError(
            f"name the emulator: --emulator HOST:PORT, or {EMULATOR_VARIABLE} in the environment"
        )
    asked: dict[str, object] = {}
    if chosen.action != "list":
        asked["issuer"] = chosen.issuer
    if chosen.action == "rotate":
        asked["withdraw"] = chosen.withdraw
    if chosen.action == "revoke":
        asked["kid"] = chosen.kid
    answer = _ask(host, chosen.action, asked)
    if chosen.json:
        print(json.dumps(answer), file=out)
        return 0
    for key in answer["keys"]:
        print("  ".join(_columns(key)), file=out)
    return 0


def _columns(key: Mapping[str, Any]) -> tuple[str, ...]:
    state = str(key["state"])
    if key["until"] is not None:
        state += f" until {_date(key['until'])}"
    return (str(key["issuer"]), str(key["kid"]), str(key["algorithm"]), f"since {_date(key['since'])}", state)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ask(host: str, action: str, asked: Mapping[str, object]) -> dict[str, Any]:
    connection = HTTPConnection(host, timeout=_SECONDS)
    try:
        if action == "list":
            connection.request("GET", _PATH, headers=_HEADERS)
        else:
            connection.request("POST", f"{_PATH}:{action}", json.dumps(asked), headers=_HEADERS)
        response = connection.getresponse()
        body = response.read(_LARGEST)
        answer = json.loads(body) if read_object(body) else {}
    except OSError as error:
        raise ConfigurationError(f"no emulator answers at {host}: {error.strerror or error}") from None
    except (HTTPException, StrictJSONError) as error:
        raise ConfigurationError(f"what answers at {host} is no emulator: {error}") from None
    finally:
        connection.close()
    if "error" in answer:
        raise ConfigurationError(str(answer["error"]["message"]))
    if not isinstance(answer.get("keys"), list):
        raise ConfigurationError(f"what answers at {host} is no emulator that can be asked for keys")
    return {"keys": answer["keys"]}
