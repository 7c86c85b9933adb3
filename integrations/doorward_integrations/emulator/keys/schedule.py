"""When keys are replaced, and for how long the replaced ones are still published."""

from __future__ import annotations

import math
from dataclasses import dataclass

from doorward.errors import ConfigurationError

__all__ = ["RotationSchedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationSchedule:
    """When the signing key of an issuer is replaced. By default only on request.

    Attributes:
        every: Seconds for which a key signs; None for no end. The clock is the issuer's, and is looked at
            when a token is made or keys are asked for.
        overlap: Seconds for which a replaced key is still published; None until the next one is replaced,
            which always publishes two keys, as Google does.
    """

    every: float | None = None
    overlap: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: If a number is out of range.
        """
        if self.every is not None and not 0 < self.every < math.inf:
            raise ConfigurationError(f"every={self.every} must be more than 0 seconds, or None")
        if self.overlap is not None and not 0 <= self.overlap < math.inf:
            raise ConfigurationError(f"overlap={self.overlap} must be 0 or more seconds, or None")
