"""Which Cloud Run service this process is, as its metadata server says.

From https://cloud.google.com/run/docs/container-contract: ``K_SERVICE`` names the service, and
``instance/region`` answers with ``projects/NUMBER/regions/REGION``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from doorward.errors import ConfigurationError, FetchError
from doorward.hostport import is_on_this_machine
from doorward.keys.http.metadata import read_metadata
from doorward.keys.http.reader import HttpReader
from doorward.shown import shown

__all__ = ["FetchText", "Service", "ask_for_service"]

FetchText = Callable[[str], str]
"""Asks a metadata server at a URL; returns the text of a good answer, or raises `FetchError`."""

_DEFAULT_HOST: Final = "metadata.google.internal"
_HOSTS_OF_GOOGLE: Final = frozenset(
    f"{host}{port}" for host in (_DEFAULT_HOST, "169.254.169.254") for port in ("", ":80")
)
_VARIABLES: Final = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT")  # the second is an older name of the first
_PATH: Final = "/computeMetadata/v1/instance/region"
_REGION: Final = "projects/([0-9]+)/regions/([a-z0-9-]+)"
_DEADLINE: Final = 3.0
_LIMIT: Final = 1_024
_NAME_THE_URL: Final = (
    'name the URL of the service, CloudRunAudience("https://SERVICE-NUMBER.REGION.run.app")'
)


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
    """Ask the metadata server which service this is.

    Args:
        environ: The environment; the process's own by default.
        fetch: How to ask; over httpx by default.

    Returns:
        The service.

    Raises:
        ConfigurationError: If this is not Cloud Run, if there is no usable answer, or if the environment
            names a metadata server that is neither Google's nor on this machine.
    """
    environ = os.environ if environ is None else environ
    name = environ.get("K_SERVICE")
    if not name:
        raise ConfigurationError(
            f"this is not Cloud Run (K_SERVICE is not set), so its URL cannot be found out: {_NAME_THE_URL}"
        )
    url = f"http://{_metadata_host(environ)}{_PATH}"
    try:
        text = (_fetch_text if fetch is None else fetch)(url).strip()
    except FetchError as error:
        raise ConfigurationError(
            f"the metadata server does not say which service this is ({error}): {_NAME_THE_URL}"
        ) from error
    found = re.fullmatch(_REGION, text)
    if found is None:
        raise ConfigurationError(
            f"the metadata server answered with {shown(repr(text), 64)}, not projects/NUMBER/regions/REGION: "
            f"{_NAME_THE_URL}"
        )
    return Service(name, found[1], found[2])


def _metadata_host(environ: Mapping[str, str]) -> str:
    """Choose the metadata server; its answer decides which audience is accepted."""
    for variable in _VARIABLES:
        host = environ.get(variable)
        if not host:
            continue
        if host not in _HOSTS_OF_GOOGLE and not is_on_this_machine(host, without_port=True):
            raise ConfigurationError(
                f"{variable}={host!r} names a metadata server that is neither Google's nor on this machine: "
                "it could make the tokens of any service good here. Remove the variable, or name the URL of "
                "the service"
            )
        return host
    return _DEFAULT_HOST


def _fetch_text(url: str) -> str:
    """Ask with bounds on time and size, and believe only an answer that a metadata server gives.

    Never through a proxy of the environment: `HttpReader` uses none for ``http``.
    """
    reader = HttpReader(deadline=_DEADLINE, limit=_LIMIT)
    return read_metadata(reader, url)
