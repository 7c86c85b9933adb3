"""``ATTRIBUTE.extract("TEMPLATE")``, a function that only IAM's dialect of CEL has.

https://cloud.google.com/iam/docs/conditions-attribute-reference
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from doorward.errors import PolicyError
from doorward.shown import quoted

__all__ = ["Extract", "Template"]

_TEMPLATE: Final = re.compile(r"([^{}]*)\{\w+\}([^{}]*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """The template of an ``extract``.

    Attributes:
        prefix: The text before the part to extract; empty for the start of the text.
        suffix: The text after the part to extract; empty for the end of the text.
    """

    prefix: str
    suffix: str

    @classmethod
    def read(cls, text: str) -> Template:
        """Read a template.

        Args:
            text: The template, as conditions write it: ``prefix{identifier}suffix``.

        Returns:
            The template, read.

        Raises:
            PolicyError: If it does not have that form.
        """
        if (found := _TEMPLATE.fullmatch(text)) is None:
            raise PolicyError(
                f"extract: the template {quoted(text)} must hold one name in braces, as in '/items/{{item}}/'"
            )
        return cls(found[1], found[2])

    def extract(self, text: str) -> str:
        """Return the part of a text that the template extracts.

        Args:
            text: The text.

        Returns:
            What is between the first prefix and the first suffix after it; empty if either is missing.
        """
        _, prefix, rest = text.partition(self.prefix) if self.prefix else ("", "", text)
        if prefix != self.prefix:
            return ""
        if not self.suffix:
            return rest
        inside, suffix, _ = rest.partition(self.suffix)
        return inside if suffix else ""


@dataclass(frozen=True, slots=True)
class Extract:
    """One ``extract`` of a condition.

    Attributes:
        attribute: The attribute that it reads, ``request.path`` or ``request.host``.
        template: Its template.
    """

    attribute: str
    template: Template
