"""The tags of the service, which conditions may ask for and no request carries.

https://cloud.google.com/iam/docs/conditions-attribute-reference#resource-tags. A key and a value each have a
name and a permanent id; a condition asks by one or the other, and neither follows from the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from doorward.errors import PolicyError
from doorward.shown import quoted

__all__ = ["TAG_FUNCTIONS", "ResourceTags"]

TAG_FUNCTIONS: Final[Mapping[str, int]] = MappingProxyType(
    {"hasTagKey": 1, "hasTagKeyId": 1, "matchTag": 2, "matchTagId": 2}
)
"""The functions of ``resource`` that ask for tags, with the number of their arguments."""

_KEY_ID: Final = re.compile(r"tagKeys/\d+", re.ASCII)
_VALUE_ID: Final = re.compile(r"tagValues/\d+", re.ASCII)
_KEY_NAME: Final = re.compile(r"[^/\s]+/[^/]+")


@dataclass(frozen=True, slots=True)
class ResourceTags:
    """All tags of the service.

    Attributes:
        by_name: The short names of the values, by the namespaced names of the keys; None if the tags are
            known by id only.
        by_id: The ids of the values, by the ids of the keys; None if the tags are known by name only.
    """

    by_name: Mapping[str, str] | None
    by_id: Mapping[str, str] | None

    @classmethod
    def read(cls, tags: Mapping[str, str] | None) -> Self | None:
        """Read what the user passed as ``resource_tags``.

        Args:
            tags: The values by their keys, in one form or in both; empty if the service has no tags.

        Returns:
            The tags; None if none were passed, so that they are not known.

        Raises:
            PolicyError: If a key or a value has neither form, or if a tag is given in one form only while
                others are given in both.
        """
        if tags is None:
            return None
        by_name, by_id = {}, {}
        for key, value in tags.items():
            texts = isinstance(key, str) and isinstance(value, str)
            if texts and _KEY_ID.fullmatch(key) and _VALUE_ID.fullmatch(value):
                by_id[key] = value
            elif texts and _KEY_NAME.fullmatch(key) and _is_short_name(key, value):
                by_name[key] = value
            else:
                raise PolicyError(
                    f"resource_tags: {quoted(key)}: {quoted(value)} is no tag: write "
                    "'ORGANIZATION_OR_PROJECT/KEY': 'VALUE' with the short name of the value, or "
                    "'tagKeys/NUMBER': 'tagValues/NUMBER'"
                )
        if by_name and by_id and len(by_name) != len(by_id):
            raise PolicyError("resource_tags: give each tag by name and by id, or all of them in one form")
        return cls(
            MappingProxyType(by_name) if by_name or not by_id else None,
            MappingProxyType(by_id) if by_id or not by_name else None,
        )

    def answer(self, function: str, *arguments: str) -> bool | None:
        """Return what a function of a condition returns for these tags.

        Args:
            function: One of `TAG_FUNCTIONS`.
            arguments: Its arguments: a key, or a key and a value.

        Returns:
            Whether the service has such a tag; None if the tags are not known in the form that the function
            asks for.
        """
        known = self.by_id if function.endswith("Id") else self.by_name
        if known is None:
            return None
        key, *values = arguments
        return key in known and all(known[key] == value for value in values)

    def joined(self, other: ResourceTags | None) -> ResourceTags:
        """Return these tags, if others were given for the same service and are the same.

        Args:
            other: The others; None if none were given.

        Raises:
            PolicyError: If they are not the same.
        """
        if other is not None and other != self:
            raise PolicyError("the policies were given different resource_tags: give them the same")
        return self


def _is_short_name(key: str, value: str) -> bool:
    """Return whether a value has a short name, not the namespaced one that repeats its key, nor an id."""
    return bool(value) and not key.startswith("tagKeys/") and not value.startswith(("tagValues/", f"{key}/"))
