"""The audiences of Identity-Aware Proxy, made of the numbers and names of what it protects.

The three forms are those of https://cloud.google.com/iap/docs/signed-headers-howto#verifying_the_jwt_payload.
"""

from __future__ import annotations

import re

from doorward.errors import ConfigurationError

__all__ = ["iap_app_engine_audience", "iap_backend_service_audience", "iap_cloud_run_audience"]


def _checked(what: str, value: object, pattern: str) -> str:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or re.fullmatch(pattern, text) is None:
        raise ConfigurationError(f"{what} cannot be {value!r}: take the audience from the page of IAP")
    return text


def _number(number: str | int) -> str:
    return _checked("the number of the project", number, "[0-9]+")


def iap_app_engine_audience(project_number: str | int, project_id: str) -> str:
    """Return the audience of an App Engine application.

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
    """Return the audience of a backend service, as Compute Engine and GKE have it.

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
    """Return the audience of a Cloud Run service.

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
