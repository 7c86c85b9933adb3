"""What the description of a Cloud Run service says of its audiences.

Version 1 of the API has annotations that hold JSON
(https://cloud.google.com/run/docs/configuring/custom-audiences), version 2 has fields of its own
(https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from doorward.errors import ConfigurationError

__all__ = ["read_description"]

_URLS_ANNOTATION: Final = "run.googleapis.com/urls"
_CUSTOM_ANNOTATION: Final = "run.googleapis.com/custom-audiences"


def read_description(description: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Read the URLs and the custom audiences of a service.

    Args:
        description: What ``gcloud run services describe --format=json`` prints, or version 2 of the API
            answers, as read by `json.load`.

    Returns:
        The URLs, and the custom audiences.

    Raises:
        ConfigurationError: If it names no URL, or is no such description.
    """
    if not isinstance(description, Mapping):
        raise ConfigurationError("the description of a service is an object, as json.load reads it")
    metadata, status = _object(description, "metadata"), _object(description, "status")
    annotations = _object(metadata, "annotations")
    urls = [
        *_json_texts(annotations, _URLS_ANNOTATION),
        *_texts(description, "urls"),
        *(one for one in (status.get("url"), description.get("uri")) if isinstance(one, str)),
    ]
    if not urls:
        raise ConfigurationError(
            "the description names no URL: it must be what 'gcloud run services describe SERVICE "
            "--format=json' prints of a service that is deployed"
        )
    custom = [*_json_texts(annotations, _CUSTOM_ANNOTATION), *_texts(description, "customAudiences")]
    return urls, custom


def _object(parent: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = parent.get(name, {})
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"this is not the description of a service: {name!r} is not an object")
    return found


def _texts(parent: Mapping[str, object], name: str) -> list[str]:
    found = parent.get(name, [])
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise ConfigurationError(f"{name!r} of the description is not an array of strings")
    return list(found)


def _json_texts(annotations: Mapping[str, object], name: str) -> list[str]:
    """Read an annotation that holds a JSON array of strings."""
    text = annotations.get(name)
    if text is None:
        return []
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise ConfigurationError(
            f'the annotation {name} must be a JSON array of strings, such as ["https://…"]'
        )
    return _texts({name: found}, name)
