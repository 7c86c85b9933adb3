"""The services of ``doorward gateway``: one for every host, or several by their hosts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from doorward import CloudRunAudience, ConfigurationError, Door, InvokerPolicy, Verifier
from doorward.policy.source import Policy, PolicySource
from doorward.policy.watching.watch import WatchedPolicy
from doorward.regular_file import read_regular_file
from doorward.services.services import Services
from doorward.shown import quoted
from doorward.strictjson import StrictJSONError, read_object

if TYPE_CHECKING:
    from doorward_integrations.gateway import Gateway, Upstream

__all__ = ["add_service_arguments", "gateway_of"]

_LARGEST_FILE: Final = 1024 * 1024
_MEMBERS: Final = ("upstream", "policy", "audience", "host")
_IN_EMULATOR: Final = "projects/"
_SHAPE: Final = "NAME=URL,policy=FILE,audience=AUD[,host=HOST]"


@dataclass(frozen=True, slots=True)
class _Described:
    """A service, as it was described."""

    upstream: str
    policy: str
    audiences: tuple[str, ...]
    hosts: tuple[str, ...]


def add_service_arguments(parser: ArgumentParser) -> None:
    """Add what describes the services.

    Args:
        parser: The parser of the command.
    """
    many: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--upstream", metavar="URL", help="the service behind, such as http://127.0.0.1:8080")
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="its IAM policy, as gcloud prints it; projects/P/locations/L/services/S is one of the emulator",
    )
    parser.add_argument("--audience", metavar="AUD", help="an accepted audience (may be repeated)", **many)
    parser.add_argument(
        "--cloud-run", metavar="URL", help="a URL of the service, with all its audiences", **many
    )
    parser.add_argument("--service", metavar=_SHAPE, help="one of several services (may be repeated)", **many)
    parser.add_argument("--services", metavar="FILE", help="JSON: several services by name")
    parser.add_argument("--watch", action="store_true", help="follow the policy files when they change")
    parser.add_argument(
        "--accept-gcloud-tokens", action="store_true", help="accept the tokens that gcloud prints"
    )
    parser.add_argument(
        "--emulate-request-timeout",
        type=float,
        metavar="SECONDS",
        help="end requests after that time with 504, as Cloud Run does (default: never)",
    )
    parser.add_argument(
        "--concurrency", type=int, metavar="N", help="requests at once for each service (default: any number)"
    )
    parser.add_argument(
        "--forwarded-proto",
        choices=("http", "https"),
        help="what X-Forwarded-Proto says (default: what is served)",
    )


def gateway_of(chosen: Namespace) -> Gateway:
    """Make the gateway that the arguments describe.

    Args:
        chosen: The parsed arguments.

    Returns:
        The gateway.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    from doorward_integrations.gateway import Gateway  # noqa: PLC0415 - needs the extra `gateway`

    described = _described(chosen)
    single = (chosen.upstream, chosen.policy, chosen.audience, chosen.cloud_run)
    if described and any(single):
        raise ConfigurationError(
            "--upstream, --policy, --audience and --cloud-run describe one service for every host; "
            "--service and --services describe several: give one of the two"
        )
    proto = chosen.forwarded_proto
    if not described:
        door = Door(_verifier(chosen), _policy(_needed(chosen.policy, "--policy FILE"), watch=chosen.watch))
        return Gateway(
            door, _upstream(_needed(chosen.upstream, "--upstream URL"), chosen), forwarded_proto=proto
        )
    services = Services(accept_gcloud_tokens=chosen.accept_gcloud_tokens)
    for name, one in described.items():
        policy = _policy(one.policy, watch=chosen.watch)
        services.put(name, audience=one.audiences, policy=policy, hosts=one.hosts)
    upstreams = {name: _upstream(one.upstream, chosen) for name, one in described.items()}
    return Gateway(services, upstreams, forwarded_proto=proto)


def _needed(value: str | None, option: str) -> str:
    if value is None:
        raise ConfigurationError(f"{option} is missing; or describe several services by --service {_SHAPE}")
    return value


def _verifier(chosen: Namespace) -> Verifier:
    audiences = [*chosen.audience, *map(CloudRunAudience, chosen.cloud_run)]
    if not audiences:
        raise ConfigurationError("name the audience of the service: --audience AUD, or --cloud-run URL")
    return Verifier(audiences, accept_gcloud_tokens=chosen.accept_gcloud_tokens)


def _policy(path: str, *, watch: bool) -> Policy | PolicySource:
    if path.startswith(_IN_EMULATOR):
        from doorward_integrations.emulator import EmulatedPolicy  # noqa: PLC0415 - for those who use it

        return EmulatedPolicy(path)
    return WatchedPolicy(path) if watch else InvokerPolicy.from_file(path)


def _upstream(url: str, chosen: Namespace) -> Upstream:
    from doorward_integrations.gateway import Upstream  # noqa: PLC0415 - needs the extra `gateway`

    return Upstream(url, concurrency=chosen.concurrency, request_timeout=chosen.emulate_request_timeout)


def _described(chosen: Namespace) -> dict[str, _Described]:
    found: dict[str, _Described] = {}
    for name, members in [*_in_file(chosen.services), *map(_in_argument, chosen.service)]:
        if name in found:
            raise ConfigurationError(f"the service {quoted(name)} is described twice")
        found[name] = _read(name, members)
    return found


def _in_argument(text: str) -> tuple[str, dict[str, list[str]]]:
    first, *rest = text.split(",")
    members: dict[str, list[str]] = {}
    for position, part in enumerate([first, *rest]):
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise ConfigurationError(f"--service {quoted(text)} must be {_SHAPE}")
        if position:
            members.setdefault(key, []).append(value)
        else:
            members["upstream"] = [value]
    return first.partition("=")[0], members


def _in_file(path: str | None) -> list[tuple[str, dict[str, list[str]]]]:
    if path is None:
        return []
    try:
        document = read_object(read_regular_file(path, _LARGEST_FILE))
    except (OSError, StrictJSONError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path} is not a readable JSON file: {why}") from error
    if not all(isinstance(one, Mapping) for one in document.values()):
        raise ConfigurationError(f"{path} must hold one JSON object: the members of each service by its name")
    return [
        (name, {key: _texts(path, key, value) for key, value in one.items()})
        for name, one in document.items()
        if isinstance(one, Mapping)  # which holds for each, see above
    ]


def _texts(path: str, key: str, value: object) -> list[str]:
    values = value if isinstance(value, tuple) else (value,)
    texts = [one for one in values if isinstance(one, str)]
    if len(texts) != len(values):
        raise ConfigurationError(f"{path}: {quoted(key)} must be a text, or a list of texts")
    return texts


def _read(name: str, members: Mapping[str, list[str]]) -> _Described:
    if unknown := sorted(set(members) - set(_MEMBERS)):
        raise ConfigurationError(f"the service {quoted(name)} has no setting {quoted(unknown[0])}")
    for key in ("upstream", "policy"):
        if len(members.get(key, ())) != 1:
            raise ConfigurationError(f"the service {quoted(name)} needs one {key}")
    audiences = tuple(members.get("audience", ()))
    hosts = tuple(members.get("host", ())) or tuple(filter(None, map(_host_of, audiences)))
    if not audiences or not hosts:
        raise ConfigurationError(
            f"the service {quoted(name)} needs an audience, and a host if no audience is a URL"
        )
    return _Described(members["upstream"][0], members["policy"][0], audiences, hosts)


def _host_of(audience: str) -> str | None:
    try:
        return urlsplit(audience).hostname
    except ValueError:
        return None
