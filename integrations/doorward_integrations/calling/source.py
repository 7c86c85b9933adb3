"""Where ID tokens come from: the protocol of a source, and the check of what it gives."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from doorward.errors import ClaimError, ConfigurationError, MalformedTokenError
from doorward.issuers.claim_rule import numeric_date
from doorward.shown import quoted
from doorward.tokens.jws import MAX_TOKEN_BYTES, split

__all__ = ["IdTokenSource", "SourceError", "check_audience", "read_expiry"]

_LONGEST_AUDIENCE: Final = 2_048


@runtime_checkable
class IdTokenSource(Protocol):
    """Fetches ID tokens. A cache calls it in a thread of its own, one call at a time for each audience."""

    def fetch(self, audience: str, /) -> str:
        """Fetch a new token; it may block, and should end within seconds.

        Args:
            audience: Whom the token is made for.

        Returns:
            The token in its compact form.

        Raises:
            Exception: Any, if there is none; what it says is repeated in `IdTokenError`.
        """
        ...


class SourceError(Exception):
    """A source has given something that must not be sent; its text holds no token."""


def check_audience(audience: object) -> str:
    """Refuse what cannot be the audience of a token.

    Args:
        audience: What was given.

    Returns:
        The audience.

    Raises:
        ConfigurationError: If it is not a text, or an empty, an overlong or an unprintable one.
    """
    if (
        not isinstance(audience, str)
        or not 0 < len(audience) <= _LONGEST_AUDIENCE
        or not audience.isprintable()
    ):
        raise ConfigurationError(
            f"{quoted(audience)} is not an audience: name the URL of the service that is called, "
            "https://SERVICE-NUMBER.REGION.run.app, or one of its custom audiences"
        )
    return audience


def read_expiry(token: object, audience: str, now: float) -> float:
    """Return when a token expires, after looking at what would make it useless, or of use to another service.

    Its signature is not checked: that is for the service which receives it.

    Args:
        token: What a source has given.
        audience: What it was asked for.
        now: The time, in seconds since the epoch.

    Returns:
        Its ``exp``, in seconds since the epoch.

    Raises:
        SourceError: If it is not a compact JWS (RFC 7515, section 7.1) of at most 16 KiB, is for another
            audience, or has expired.
    """
    if not isinstance(token, str):
        raise SourceError(f"the source has given a value of type {type(token).__name__}, not a token")
    if len(token) > MAX_TOKEN_BYTES:
        raise SourceError(f"the source has given {len(token)} characters: no ID token is so long")
    try:
        unverified_claims = split(token).read_claims()
    except MalformedTokenError as error:
        raise SourceError(f"the source has given what is no ID token: {error.message}") from None
    if unverified_claims.get("aud") != audience:
        raise SourceError("the source has given a token for another audience, which must not be sent")
    try:
        expires_at = numeric_date(unverified_claims, "exp")
    except ClaimError:
        raise SourceError("the source has given a token without a time of expiry") from None
    if expires_at <= now:
        raise SourceError(
            f"the source has given a token that expired {now - expires_at:.0f} s ago by the clock of this "
            "machine: compare the clocks"
        )
    return float(expires_at)
