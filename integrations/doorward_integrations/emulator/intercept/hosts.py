"""The closed list of Google's hosts that the emulator answers for, and what each of them answers."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["GOOGLE_HOSTS", "METADATA_HOSTS", "PERMITTED_DOMAINS", "is_google_host"]

GOOGLE_HOSTS: Final[dict[str, tuple[str, ...]]] = {
    "accounts.google.com": ("/.well-known/openid-configuration",),
    "cloudfunctions.googleapis.com": (),
    "iam.googleapis.com": (),
    "iamcredentials.googleapis.com": (),
    "oauth2.googleapis.com": (),
    "openidconnect.googleapis.com": (),
    "run.googleapis.com": (),
    "sts.googleapis.com": (),
    "www.googleapis.com": ("/oauth2/v1/certs", "/oauth2/v3/certs"),
}
"""By host, over TLS: the paths that answer a plain GET. The emulator has one set of paths for all hosts; one
whose paths need a body or a credential is listed without any."""

_REGIONAL_RUN: Final = re.compile(r"[a-z]{2,20}(?:-[a-z0-9]{1,20}){1,3}-run\.googleapis\.com", re.ASCII)
"""The regional endpoints of Cloud Run, as gcloud uses them: ``europe-west1-run.googleapis.com``."""

METADATA_HOSTS: Final = frozenset({"metadata", "metadata.google.internal", "169.254.169.254"})
"""The names of the metadata server, over plain HTTP only."""

PERMITTED_DOMAINS: Final = ("googleapis.com", "accounts.google.com")
"""The domains for which the authority may issue certificates (RFC 5280, section 4.2.1.10)."""


def is_google_host(name: str) -> bool:
    """Return whether the emulator answers for a host.

    Args:
        name: The name, without a port; its case, and a dot at its end, do not matter.
    """
    name = name.lower().removesuffix(".")
    return name in GOOGLE_HOSTS or _REGIONAL_RUN.fullmatch(name) is not None
