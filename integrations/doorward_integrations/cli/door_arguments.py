"""The arguments of the commands that decide on a token: a token, a request, and the door that decides.

The door is the service's own, with ``--door package.module:name``; that of the environment, with
``--settings``; or one made of options, which are the settings of `doorward_integrations.settings` by the same
names. All of them decide as the service does.
"""

from __future__ import annotations

import importlib
import os
import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final, TextIO

from doorward import ConfigurationError, Door, PlainRequest
from doorward.door.credentials import AUTHORIZATION, CredentialHeaders
from doorward_integrations.settings import Settings, settings
from doorward_integrations.settings.reading import flag, number, policies, several
from doorward_integrations.settings.variables import VARIABLES

__all__ = ["add_door_arguments", "door_of", "header_of", "read_token", "request_of"]

# The settings that a decision on one token can depend on.
_ABOUT_POLICY: Final = (
    "groups",
    "unique_ids",
    "project_numbers",
    "custom_roles",
    "resource_tags",
    "strict",
)
_OPTIONS: Final = (
    "audience",
    "cloud_run",
    "issuer",
    "accept_gcloud_tokens",
    "leeway",
    "policy",
    "members",
    "users_of",
    "deny_policy",
    *_ABOUT_POLICY,
)
_FORMS: Final[dict[object, dict[str, Any]]] = {
    several: {"action": "append", "metavar": "VALUE"},
    policies: {"action": "append", "metavar": "FILE"},
    flag: {"action": "store_true", "default": None},
    number: {"type": float, "metavar": "NUMBER"},
}
_FILE: Final[dict[str, Any]] = {"metavar": "FILE"}


def add_door_arguments(parser: ArgumentParser) -> None:
    """Add the token, the request and the door.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("token", metavar="TOKEN", help="the ID token, or - to read it from standard input")
    parser.add_argument("--door", metavar="MODULE:NAME", help="the door of the service; replaces the rest")
    parser.add_argument(
        "--settings", action="store_true", help="the door that the DOORWARD_ variables describe, instead"
    )
    for setting in _OPTIONS:
        variable = VARIABLES[setting]
        form = _FORMS.get(variable.read, _FILE)
        repeated = "; may be repeated" if form.get("action") == "append" else ""
        parser.add_argument(_option(setting), help=f"{variable.what}{repeated}", **form)
    parser.add_argument("--path", default="/", help="the path of the request (default: %(default)s)")
    parser.add_argument("--host", default="", help="the host of the request")
    parser.add_argument("--method", default="GET", help="the method of the request (default: %(default)s)")


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def read_token(argument: str, stdin: TextIO) -> str:
    """Read the token from the command line, or from standard input, which other users cannot see.

    Args:
        argument: What stands on the command line.
        stdin: Standard input.

    Returns:
        The token, without white space around it, and without the scheme of a header that it was copied from.
    """
    text = (stdin.read() if argument == "-" else argument).strip()
    scheme, space, rest = text.partition(" ")
    return rest.strip() if space and scheme.lower() == "bearer" else text


def header_of(door: Door, token: str) -> tuple[bytes, bytes]:
    """Put a token into the header in which a door looks for it.

    Args:
        door: The door.
        token: The token, as it was given.

    Returns:
        Name and value of the header.
    """
    raw = token.encode("utf-8", "surrogateescape")
    find = door.credential
    if isinstance(find, CredentialHeaders):
        return find.names[-1], b"Bearer " + raw if find.scheme else raw
    return AUTHORIZATION, b"Bearer " + raw


def request_of(chosen: Namespace) -> PlainRequest:
    """Make the request that the arguments describe.

    Args:
        chosen: The parsed arguments.

    Returns:
        The request.
    """
    return PlainRequest(chosen.path, chosen.method, chosen.host)


def door_of(chosen: Namespace) -> Door:
    """Make the door that the arguments describe, or import that of the service.

    Args:
        chosen: The parsed arguments.

    Returns:
        The door.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    given = {one: value for one in _OPTIONS if (value := getattr(chosen, one)) is not None}
    if chosen.door is not None and chosen.settings:
        raise ConfigurationError("--door or --settings: each of them brings a door")
    if given and (chosen.door is not None or chosen.settings):
        which = "--settings" if chosen.door is None else "--door"
        raise ConfigurationError(f"{which} brings its own settings: leave the others out")
    if chosen.door is not None:
        return _import_door(chosen.door)
    if chosen.settings:
        return settings().door()
    if not given.keys() & {"audience", "cloud_run", "issuer"}:
        raise ConfigurationError("name the audience of the service: --audience AUD, or --cloud-run URL")
    # A token can be looked at without a policy; what says something about one must not be ignored.
    if not given.keys() & {"policy", "members", "users_of"} and (
        "deny_policy" in given or not given.keys() & {*_ABOUT_POLICY}
    ):
        given["members"] = ["allAuthenticatedUsers"]
    names = {one: _option(one) for one in given}
    return Settings.of(given, names=names, name_of=_option, environ=os.environ).door()


def _import_door(text: str) -> Door:
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ConfigurationError(f"--door {text!r} must be MODULE:NAME, such as orders.main:door")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as the interpreter writes it there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as above
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"--door {text}: {error}") from error
    if not isinstance(found, Door):
        raise ConfigurationError(f"--door {text} is a {type(found).__name__}, not a Door")
    return found
