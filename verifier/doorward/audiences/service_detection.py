"""Which Cloud Run service this process is, as the metadata server tells.

From https://cloud.google.com/run/docs/container-contract: ``K_SERVICE`` names the service, and
``instance/region`` answers with ``projects/NUMBER/regions/REGION``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from doorward.errors import ConfigurationError, FetchError
from doorward.keys.fetch import is_loopback

__all__ = ["FetchText", "Service", "ask_for_service"]

FetchText = Callable[[str], str]
"""Whatever asks a metadata server at a URL, and gives the text of a good answer or raises `FetchError`."""

_DEFAULT_HOST: Final = "metadata.google.internal"
_GOOGLES: Final = frozenset({_DEFAULT_HOST, "169.254.169.254"})
_VARIABLES: Final = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT")  # the second is an older name of the first
_PATH: Final = "/computeMetadata/v1/instance/region"
_FLAVOR: Final = {"Metadata-Flavor": "Google"}
_DEADLINE: Final = 3.0
_LIMIT: Final = 1_024
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Service:
    """One Cloud Run service.

    Attributes:
        name: Its name.
        project_number: The number of its project.
        region: Its region.
    """

    name: str
    project_number: str
    region: str


def ask_for_service(environ: Mapping[str, str] | None = None, fetch: FetchText | None = None) -> Service:
    """Ask which service this is.

    Args:
        environ: The environment; the process's own by default.
        fetch: How to ask; over httpx by default.

    Returns:
        The service.

    Raises:
        ConfigurationError: If this is not Cloud Run, if nothing usable answers, or if the environment names a
            metadata server elsewhere.
    """
    environ = os.environ if environ is None else environ
    name = environ.get("K_SERVICE")
    if not name:
        raise ConfigurationError(
            "this is not Cloud Run (K_SERVICE is not set), so its URL cannot be found out: name it, "
            'CloudRunAudience("https://SERVICE-NUMBER.REGION.run.app")'
        )
    url = f"http://{_metadata_host(environ)}{_PATH}"
    try:
        text = (_fetch_text if fetch is None else fetch)(url).strip()
    except FetchError as error:
        raise ConfigurationError(
            f"the metadata server does not say which service this is ({error}): name the URL of the service, "
            'CloudRunAudience("https://SERVICE-NUMBER.REGION.run.app")'
        ) from error
    found = re.fullmatch("projects/([0-9]+)/regions/([a-z0-9-]+)", text)
    if found is None:
        raise ConfigurationError(
            f"the metadata server answered with {text[:64]!r}, not projects/NUMBER/regions/REGION: name the "
            'URL of the service, CloudRunAudience("https://SERVICE-NUMBER.REGION.run.app")'
        )
    return Service(name, found[1], found[2])


def _metadata_host(environ: Mapping[str, str]) -> str:
    """Choose the metadata server: whoever answers in its place chooses the audience, and so who is let in."""
    for variable in _VARIABLES:
        host = environ.get(variable)
        if not host:
            continue
        try:
            parts = urlsplit(f"//{host}")
            plain = parts.netloc == host and parts.username is None and host.isprintable() and " " not in host
            name, port = parts.hostname or "", parts.port  # which raises, if it is no number
            known = plain and ((name in _GOOGLES and port in (None, 80)) or is_loopback(name))
        except ValueError:
            known = False
        if not known:
            raise ConfigurationError(
                f"{variable}={host!r} names a metadata server that is neither Google's nor on this machine: "
                "it could make any service's tokens good here. Remove the variable, or name the URL of the "
                "service"
            )
        return host
    return _DEFAULT_HOST


def _fetch_text(url: str) -> str:
    """Ask over httpx, with bounds on time and size, and believe only what says it is a metadata server."""
    import httpx  # noqa: PLC0415 - nobody pays for it who does not ask

    body = b""
    try:
        with (
            # Never through a proxy: the metadata server is a part of this machine.
            httpx.Client(timeout=_DEADLINE, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", url, headers=_FLAVOR) as response,
        ):
            if response.status_code != _OK:
                raise FetchError("status", f"answered with {response.status_code}, not 200")
            if response.headers.get("metadata-flavor") != "Google":
                raise FetchError("content", "what answers is no metadata server: Metadata-Flavor is missing")
            for chunk in response.iter_raw(_LIMIT):
                body += chunk
                if len(body) > _LIMIT:
                    raise FetchError("size", f"the answer is over {_LIMIT} bytes")
    except httpx.HTTPError as error:
        raise FetchError("connect", f"{type(error).__name__}: {error}") from error
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise FetchError("content", "the answer is not ASCII") from None
