"""The error of a token that cannot be fetched, and what it says of the cause: never a token."""

from __future__ import annotations

import re
from typing import Final

from doorward.errors import DoorwardError
from doorward.shown import quoted, shortened

__all__ = ["IdTokenError", "describe"]

# Every JWT begins with `{"` in base64url, and Google's access tokens with ya29.
_TOKEN: Final = re.compile(r"(?:ey[JA-Z]|ya29\.)[\w.~+/=-]*")
_LONG: Final = re.compile(r"[\w+=-]{17,}")
_MOST: Final = 16


class IdTokenError(DoorwardError):
    """There is no ID token for an audience now: what asked for it was not sent.

    Attributes:
        audience: Whom the token would be made for.
        cause: Why there is none, as a sentence for the log; holds no token.
        retry_after: Seconds after which asking again makes sense.
    """

    def __init__(self, audience: str, cause: str, retry_after: float = 1.0) -> None:
        """Make the error from its data.

        Args:
            audience: Whom the token would be made for.
            cause: Why there is none.
            retry_after: Seconds after which asking again makes sense.
        """
        super().__init__(audience, cause, retry_after)
        self.audience = audience
        self.cause = cause
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Name the audience and the cause."""
        return f"there is no ID token for the audience {quoted(self.audience)} now: {self.cause}"


def describe(error: BaseException) -> str:
    """Return what an error of a source says, without what it may repeat of a token.

    Args:
        error: Any error. google-auth's may hold the whole answer of the metadata server.
    """
    text = _TOKEN.sub("(a token)", str(error)[: 16 * 1024])
    text = _LONG.sub(lambda found: f"{found[0][:_MOST]}…", text)
    return f"{type(error).__name__}: {shortened(text)}" if text else type(error).__name__
