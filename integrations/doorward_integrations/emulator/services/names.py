"""The names of services and functions, as the APIs of Cloud Run and of Cloud Run functions write them."""

from __future__ import annotations

import re
from typing import Final

from doorward.errors import ConfigurationError
from doorward.shown import quoted

__all__ = ["service_name"]

# https://cloud.google.com/resource-manager/docs/creating-managing-projects and the names of services, of at
# most 49 characters today; functions may have capitals and underscores, and their services have none.
_NAME: Final = re.compile(
    r"projects/(?P<project>(?:[a-z0-9.-]{1,63}:)?[a-z0-9][a-z0-9-]{0,61})/locations/(?P<location>[a-z][a-z0-9-]{1,40})"
    r"/(?:services/(?P<service>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"
    r"|functions/(?P<function>[A-Za-z](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?))"
)


def service_name(resource: str) -> str:
    """Return the service that a name stands for: a function of the second generation is a service too.

    Args:
        resource: ``projects/PROJECT/locations/LOCATION/services/SERVICE``, or the same with
            ``functions/FUNCTION``.

    Returns:
        The name of the service.

    Raises:
        ConfigurationError: If it is no such name.
    """
    found = _NAME.fullmatch(resource) if isinstance(resource, str) else None
    if found is None:
        raise ConfigurationError(
            f"{quoted(resource)} is no name of a service: write projects/PROJECT/locations/LOCATION/services/"
            "SERVICE, or functions/FUNCTION in place of the last part"
        )
    service = found["service"] or found["function"].lower().replace("_", "-")
    return f"projects/{found['project']}/locations/{found['location']}/services/{service}"
