"""Google accounts and service accounts, which Cloud Run accepts, and the emulator in Google's place."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.issuers.issuer import Issuer

__all__ = [
    "CLOUD_RUN_VARIABLES",
    "EMULATOR_VARIABLE",
    "GCLOUD_CLIENT_ID",
    "GOOGLE",
    "emulator_in_environment",
    "in_environment",
    "is_google",
]

_log = logging.getLogger("doorward.issuers")

EMULATOR_VARIABLE: Final = "DOORWARD_EMULATOR_HOST"
"""Names the ``HOST:PORT`` of an emulator whose keys replace those that Google publishes."""

GCLOUD_CLIENT_ID: Final = "32555940559.apps.googleusercontent.com"
"""The audience of ``gcloud auth print-identity-token``, of users and of service accounts: it names gcloud,
and no service (https://cloud.google.com/run/docs/authenticating/developers)."""

GOOGLE: Final = Issuer(
    # Both iss_values are Google's: https://developers.google.com/identity/openid-connect/reference
    name="google",
    iss_values=("https://accounts.google.com", "accounts.google.com"),
    key_url="https://www.googleapis.com/oauth2/v3/certs",
    google_accounts=True,
)
"""Google accounts and service accounts: what Cloud Run itself accepts."""

_PUBLISHED_AT: Final = ("https://www.googleapis.com/", "https://www.gstatic.com/")
"""Where Google publishes keys; the emulator has the same paths."""

CLOUD_RUN_VARIABLES: Final = ("K_SERVICE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL")
"""Variables of which Cloud Run sets one: in services and functions, in jobs, in worker pools
(https://cloud.google.com/run/docs/container-contract#env-vars)."""


def emulator_in_environment(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the emulator that the environment puts in Google's place.

    Args:
        environ: The environment; the process's own by default.

    Returns:
        Its ``HOST:PORT`` on this machine; None if there is none.

    Raises:
        ConfigurationError: If the variable names anything but a port of this machine, or is set on Cloud Run.
    """
    environ = os.environ if environ is None else environ
    host = environ.get(EMULATOR_VARIABLE)
    if host is None:
        return None
    for variable in CLOUD_RUN_VARIABLES:
        if variable in environ:
            raise ConfigurationError(
                f"{EMULATOR_VARIABLE} is set on Cloud Run ({variable} is set too): with the emulator's keys "
                "one could call as any account. Remove the variable from the service, job or worker pool"
            )
    if not is_on_this_machine(host):
        raise ConfigurationError(
            f"{EMULATOR_VARIABLE}={host!r} must be HOST:PORT of this machine, as the emulator prints it, "
            "such as 127.0.0.1:8099"
        )
    return host


def in_environment(issuer: Issuer, environ: Mapping[str, str] | None = None) -> Issuer:
    """Point an issuer whose keys Google publishes at an emulator, where the environment asks for it.

    Args:
        issuer: Any issuer. `GOOGLE`, `IAP`, Firebase projects, Google Chat and service accounts are pointed
            at the emulator; an issuer whose keys are published elsewhere stays as it is.
        environ: The environment; the process's own by default.

    Returns:
        The issuer, or one with the emulator's keys instead of Google's.

    Raises:
        ConfigurationError: If the variable names anything but a port of this machine, or is set on Cloud Run.
    """
    path = next((issuer.key_url[len(at) :] for at in _PUBLISHED_AT if issuer.key_url.startswith(at)), None)
    host = emulator_in_environment(environ) if path is not None else None
    if host is None:
        return issuer
    _log.warning(
        "tokens of the issuer %s are verified with the keys of the emulator at %s: Google's own are refused",
        issuer.name,
        host,
    )
    return replace(issuer, key_url=f"http://{host}/{path}")


def is_google(issuer: Issuer) -> bool:
    """Return whether an issuer is Google's own, or the emulator in its place.

    Args:
        issuer: Any issuer.
    """
    return issuer.iss_values == GOOGLE.iss_values
