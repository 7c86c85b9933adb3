"""The arguments of the commands that decide on a token: a token, a request, and the door that decides.

The door is the service's own, with ``--door package.module:name``, or one made of the settings that a
verifier and a policy have. Both decide as the service does.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, Final, TextIO

from doorward import (
    GOOGLE,
    IAP,
    CloudRunAudience,
    ConfigurationError,
    DenyPolicy,
    Door,
    FetchError,
    InvokerPolicy,
    Issuer,
    PlainRequest,
    Verifier,
    discover,
    firebase,
)
from doorward.door.credentials import AUTHORIZATION, CredentialHeaders
from doorward.issuers.chat import chat_project_number
from doorward.issuers.self_signed import service_account_issuer
from doorward.regular_file import read_regular_file

__all__ = ["add_door_arguments", "door_of", "header_of", "read_token", "request_of"]

_PRESETS: Final[dict[str, Callable[[str], Issuer]]] = {
    "firebase": firebase,
    "service-account": service_account_issuer,
    "chat": chat_project_number,
    "https": lambda rest: discover(f"https:{rest}"),
    "http": lambda rest: discover(f"http:{rest}"),
}
# The settings of a policy that are read from a file, by the name of the option.
_FILES: Final = {
    "groups": "the members of each group",
    "unique_ids": "the unique id of accounts, by member",
    "project_numbers": "the numbers of projects, by project id",
    "custom_roles": "the permissions of custom roles, by role name",
}
_LARGEST_FILE: Final = 16 * 1024 * 1024  # bytes: the members of all groups of a large organisation


def add_door_arguments(parser: ArgumentParser) -> None:
    """Add the token, the request and the door.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("token", metavar="TOKEN", help="the ID token, or - to read it from standard input")
    parser.add_argument("--door", metavar="MODULE:NAME", help="the door of the service; replaces the rest")
    many: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--audience", metavar="AUD", help="an accepted audience (may be repeated)", **many)
    parser.add_argument(
        "--cloud-run",
        metavar="URL",
        help="a URL of the service, with all its audiences",
        **many,
    )
    parser.add_argument(
        "--issuer",
        metavar="ISSUER",
        help="google (default), iap, firebase:PROJECT, service-account:EMAIL, chat:NUMBER or https://ISSUER",
        **many,
    )
    parser.add_argument(
        "--accept-gcloud-tokens",
        action="store_true",
        help="accept the tokens that gcloud prints",
    )
    parser.add_argument(
        "--leeway", type=float, default=30.0, metavar="SECONDS", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="an IAM policy, as gcloud prints it (default: any Google account)",
        **many,
    )
    parser.add_argument("--deny-policy", metavar="FILE", help="a deny policy (may be repeated)", **many)
    for name, what in _FILES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="FILE", help=f"JSON: {what}")
    parser.add_argument("--path", default="/", help="the path of the request (default: %(default)s)")
    parser.add_argument("--host", default="", help="the host of the request")
    parser.add_argument("--method", default="GET", help="the method of the request (default: %(default)s)")


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
    if chosen.door is not None:
        if chosen.audience or chosen.cloud_run or chosen.policy or chosen.issuer or chosen.deny_policy:
            raise ConfigurationError("--door brings its own settings: leave the others out")
        return _import_door(chosen.door)
    if not chosen.audience and not chosen.cloud_run and not chosen.issuer:
        raise ConfigurationError("name the audience of the service: --audience AUD, or --cloud-run URL")
    audiences = [*chosen.audience, *([CloudRunAudience(chosen.cloud_run)] if chosen.cloud_run else [])]
    verifier = Verifier(
        audiences or None,
        issuers=[_issuer(one) for one in chosen.issuer] or [GOOGLE],
        accept_gcloud_tokens=chosen.accept_gcloud_tokens,
        leeway=chosen.leeway,
    )
    return Door(verifier, _policy(chosen))


def _policy(chosen: Namespace) -> InvokerPolicy:
    if not chosen.policy:
        policy = InvokerPolicy.all_authenticated_users()
    else:
        settings: dict[str, Any] = {
            name: _read_object(path) for name in _FILES if (path := getattr(chosen, name)) is not None
        }
        policies = [InvokerPolicy.from_file(path, **settings) for path in chosen.policy]
        policy = policies[0] if len(policies) == 1 else InvokerPolicy.join(*policies)
    return policy.with_deny(*map(DenyPolicy.from_file, chosen.deny_policy)) if chosen.deny_policy else policy


def _issuer(text: str) -> Issuer:
    if text in ("google", "iap"):
        return GOOGLE if text == "google" else IAP
    preset, _, rest = text.partition(":")
    if preset not in _PRESETS or not rest:
        raise ConfigurationError(
            f"--issuer {text!r} is none of google, iap, firebase:PROJECT, service-account:EMAIL, chat:NUMBER "
            "and https://ISSUER"
        )
    try:
        return _PRESETS[preset](rest)
    except FetchError as error:
        raise ConfigurationError(f"--issuer {text}: its configuration cannot be fetched: {error}") from error


def _read_object(path: str) -> Any:  # noqa: ANN401 - the policy checks it
    try:
        found = json.loads(read_regular_file(path, _LARGEST_FILE))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path} is not a readable JSON file: {why}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} must hold one JSON object")
    return found


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
