"""The audiences that a service accepts.

The audience keeps a token that was made for one service from being used at another. It is always compared,
and exactly, unless an `Audience` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, runtime_checkable

from doorward.errors import ConfigurationError

__all__ = ["Audience", "Audiences"]


@runtime_checkable
class Audience(Protocol):
    """Audiences that cannot be listed one by one; its ``str`` names them in errors.

    It is asked about tokens whose signature has held, and about no others.
    """

    def accepts(self, aud: str, /) -> bool:
        """Return whether a token for an audience is meant for this service.

        Args:
            aud: The ``aud`` of a token.
        """
        ...


class Audiences:
    """All audiences that a verifier accepts.

    Attributes:
        exact: Those that are one text each.
    """

    __slots__ = ("_others", "exact")

    def __init__(self, given: str | Audience | Iterable[str | Audience]) -> None:
        """Collect the audiences.

        Args:
            given: One or several, as text or as `Audience`.

        Raises:
            ConfigurationError: If there is none, or one is empty or something else.
        """
        several = given if isinstance(given, Iterable) and not isinstance(given, str | Audience) else (given,)
        listed = list(several)
        if not listed or not all(one and isinstance(one, str | Audience) for one in listed):
            raise ConfigurationError(
                "an audience is needed, or a token for any other service would be accepted: "
                'Verifier(audience="https://SERVICE-NUMBER.REGION.run.app")'
            )
        self.exact: Final = frozenset(one for one in listed if isinstance(one, str))
        self._others: Final = tuple(one for one in listed if not isinstance(one, str))

    @property
    def listed(self) -> bool:
        """Whether `exact` holds all of them."""
        return not self._others

    def accepts(self, aud: str) -> bool:
        """Return whether a token for an audience is meant for this service.

        Args:
            aud: The ``aud`` of a token.
        """
        return aud in self.exact or any(other.accepts(aud) for other in self._others)

    def __str__(self) -> str:
        """Name all of them."""
        return " or ".join([*sorted(self.exact), *map(str, self._others)])
