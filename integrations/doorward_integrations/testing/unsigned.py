"""Tokens without a signature."""

from __future__ import annotations

from typing import Final

from doorward.tokens.jws import REMOVED_SIGNATURE
from doorward_integrations.testing.keys import segment
from doorward_integrations.testing.material import Material

__all__ = ["REMOVED", "unsigned", "without_signature"]

REMOVED: Final = REMOVED_SIGNATURE.decode()
"""What stands in place of the signature in the tokens that Cloud Run hands to a service."""


def unsigned(made: Material, alg: str) -> str:
    """Return a token with an empty signature.

    Args:
        made: What it is made of.
        alg: The algorithm that it names.
    """
    return f"{segment(made.head(alg=alg))}.{segment(made.claims())}."


def without_signature(made: Material, instead: str) -> str:
    """Return a good token with another text in place of its signature.

    Args:
        made: What it is made of.
        instead: The text.
    """
    return f"{made.good.rpartition('.')[0]}.{instead}"
