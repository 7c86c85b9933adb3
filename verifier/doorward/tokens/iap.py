"""Identity-Aware Proxy: the assertion that it adds to every request it lets through.

From https://cloud.google.com/iap/docs/signed-headers-howto. The assertion stands in a header of its own,
without ``Bearer``: give a door ``credential=find_iap_assertion``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from doorward.errors import ConfigurationError
from doorward.tokens.issuers import Identity, Issuer

__all__ = ["IAP", "iap_app_engine_audience", "iap_backend_service_audience", "iap_cloud_run_audience"]

_GOOGLE_SUBJECT: Final = "accounts.google.com:"


def _identify(claims: Mapping[str, object]) -> Identity:
    """Tell a Google identity from one that Identity Platform, or a workforce pool, knows.

    The proxy has authenticated its user: ``email`` is to be believed without ``email_verified``, which its
    tokens do not have. That holds for Google identities only: an external one has ``gcip``, and the name of
    its token issuer before ``sub`` and ``email``.
    """
    sub, email, domain = claims.get("sub"), claims.get("email"), claims.get("hd")
    if type(sub) is not str or not sub.startswith(_GOOGLE_SUBJECT) or "gcip" in claims:
        return Identity(None, google_account=False, external=True)
    # Never against what the token itself says.
    vouched = isinstance(email, str) and ":" not in email and claims.get("email_verified", True) is True
    return Identity(
        email if isinstance(email, str) and vouched else None,
        google_account=True,
        hosted_domain=domain if isinstance(domain, str) else None,
    )


IAP: Final = Issuer(
    name="iap",
    spellings=("https://cloud.google.com/iap",),
    key_url="https://www.gstatic.com/iap/verify/public_key-jwk",
    algorithms=("ES256",),
    # Ten minutes and twice the skew of 30 s is the longest that is documented; a verifier's leeway, added to
    # every lifetime, is the other half of that.
    max_lifetime=630.0,
    identify=_identify,
)
"""Identity-Aware Proxy: for users whom it has let through, to a service that can be reached past it too."""


def _checked(what: str, value: object, pattern: str) -> str:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or re.fullmatch(pattern, text) is None:
        raise ConfigurationError(f"{what} cannot be {value!r}: take the audience from the page of IAP")
    return text


def _number(number: str | int) -> str:
    return _checked("the number of the project", number, "[0-9]+")


def iap_app_engine_audience(project_number: str | int, project_id: str) -> str:
    """Spell the audience of an App Engine application.

    Args:
        project_number: The number of its project.
        project_id: The id of its project.

    Returns:
        ``/projects/PROJECT_NUMBER/apps/PROJECT_ID``.

    Raises:
        ConfigurationError: If one of them is something else.
    """
    name = _checked("the project id", project_id, r"[a-z0-9.:-]+")
    return f"/projects/{_number(project_number)}/apps/{name}"


def iap_backend_service_audience(project_number: str | int, service_id: str | int) -> str:
    """Spell the audience of a backend service, as Compute Engine and GKE have it.

    Args:
        project_number: The number of its project.
        service_id: The id of the backend service, a number.

    Returns:
        ``/projects/PROJECT_NUMBER/global/backendServices/SERVICE_ID``.

    Raises:
        ConfigurationError: If one of them is something else.
    """
    service = _checked("the id of the backend service", service_id, "[0-9]+")
    return f"/projects/{_number(project_number)}/global/backendServices/{service}"


def iap_cloud_run_audience(project_number: str | int, region: str, service: str) -> str:
    """Spell the audience of a Cloud Run service.

    Args:
        project_number: The number of its project.
        region: Its region, such as ``europe-west1``.
        service: Its name.

    Returns:
        ``/projects/PROJECT_NUMBER/locations/REGION/services/SERVICE``.

    Raises:
        ConfigurationError: If one of them is something else.
    """
    where = _checked("the region", region, "[a-z0-9-]+")
    name = _checked("the name of the service", service, "[a-z0-9-]+")
    return f"/projects/{_number(project_number)}/locations/{where}/services/{name}"
