"""The claim rules: pure functions of claims, expectations and the time.

Rules from RFC 7519, section 4.1, OpenID Connect Core 1.0, section 3.1.3.7, and Google's page on ID tokens
(https://developers.google.com/identity/openid-connect/reference), each in its strict reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from doorward.errors import ClaimError, Reason
from doorward.tokens.audiences import Audiences
from doorward.tokens.issuers import Issuer

__all__ = ["RULES", "Expected", "Rule", "check_claims"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the claims of a token must be.

    Attributes:
        issuer: Whose key made the signature, or would have to.
        audiences: The accepted audiences.
        leeway: Seconds by which the clocks may differ, applied to ``exp``, ``iat`` and ``nbf``.
    """

    issuer: Issuer
    audiences: Audiences
    leeway: float


Rule = Callable[[Mapping[str, object], Expected, float], None]

_LATEST: Final = 253_402_300_800  # the year 10000; beyond it, date arithmetic fails
_SUBJECT_LENGTH: Final = 255  # OpenID Connect Core 1.0, section 2
_SHOWN: Final = 200


def _shown(value: object) -> str:
    """Quote a claim for the log; a verified claim is no secret, but may be long."""
    # Text only: the repr of what is nested may go as deep as whoever wrote it liked.
    text = repr(value) if isinstance(value, str) else f"not a string but {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _refuse(reason: Reason, claim: str, message: str) -> NoReturn:
    raise ClaimError(reason, message, claim)


def _time(claims: Mapping[str, object], name: str) -> float:
    """Take a NumericDate (RFC 7519, section 2): a number, so neither text, nor true, nor the year 10000."""
    value = claims.get(name)
    if type(value) is int or type(value) is float:
        if 0 <= value < _LATEST:
            return value
        _refuse(Reason.CLAIM_INVALID, name, f"'{name}' is out of range")
    if name in claims:
        _refuse(Reason.CLAIM_INVALID, name, f"'{name}' must be a number, not {type(value).__name__}")
    _refuse(Reason.CLAIM_MISSING, name, f"the token has no '{name}'")


def _check_issuer(claims: Mapping[str, object], expected: Expected, _now: float) -> None:
    iss = claims.get("iss")
    # The type first: "in" on a string, or an object with a comparison of its own, is how others were fooled.
    if type(iss) is str and iss in expected.issuer.spellings:
        return
    if iss is None:
        _refuse(Reason.CLAIM_MISSING, "iss", "the token has no 'iss'")
    wanted = " or ".join(expected.issuer.spellings)
    _refuse(Reason.WRONG_ISSUER, "iss", f"'iss' is {_shown(iss)}, expected {wanted}")


def _check_audience(claims: Mapping[str, object], expected: Expected, _now: float) -> None:
    aud = claims.get("aud")
    audiences = expected.audiences
    if type(aud) is str:
        if audiences.accepts(aud):
            return
    elif aud is None:
        _refuse(Reason.CLAIM_MISSING, "aud", "the token has no 'aud'")
    elif type(aud) is not tuple or not expected.issuer.audience_lists:
        _refuse(
            Reason.CLAIM_INVALID, "aud", f"'aud' must be one string for the issuer {expected.issuer.name}"
        )
    elif not all(type(one) is str for one in aud):
        _refuse(Reason.CLAIM_INVALID, "aud", "'aud' holds what is not a string")
    elif any(map(audiences.accepts, aud)):
        return
    seen = _shown(aud if type(aud) is str else " and ".join(aud))
    _refuse(Reason.WRONG_AUDIENCE, "aud", f"'aud' is {seen}, expected {_shown(str(audiences))}")


def _check_expiry(claims: Mapping[str, object], expected: Expected, now: float) -> None:
    exp = _time(claims, "exp")
    if now >= exp + expected.leeway:
        _refuse(Reason.EXPIRED, "exp", f"the token expired {now - exp:.0f} s ago")


def _check_start(claims: Mapping[str, object], expected: Expected, now: float) -> None:
    latest = now + expected.leeway
    if (iat := _time(claims, "iat")) > latest:
        ahead = f"the token was issued {iat - now:.0f} s in the future: compare the clocks"
        _refuse(Reason.NOT_YET_VALID, "iat", ahead)
    if "nbf" in claims and (nbf := _time(claims, "nbf")) > latest:
        _refuse(Reason.NOT_YET_VALID, "nbf", f"the token is not valid for another {nbf - now:.0f} s")


def _check_lifetime(claims: Mapping[str, object], expected: Expected, _now: float) -> None:
    lifetime = _time(claims, "exp") - _time(claims, "iat")
    issuer = expected.issuer
    if not 0 < lifetime <= issuer.max_lifetime + expected.leeway:
        _refuse(
            Reason.LIFETIME_TOO_LONG if lifetime > 0 else Reason.CLAIM_INVALID,
            "exp",
            f"a lifetime of {lifetime:.0f} s; {issuer.name} issues for at most {issuer.max_lifetime:.0f} s",
        )


def _check_subject(claims: Mapping[str, object], _expected: Expected, _now: float) -> None:
    sub = claims.get("sub")
    if sub is None:
        _refuse(Reason.CLAIM_MISSING, "sub", "the token has no 'sub'")
    if type(sub) is not str or not 0 < len(sub) <= _SUBJECT_LENGTH or not sub.isprintable():
        _refuse(Reason.CLAIM_INVALID, "sub", f"'sub' must be 1 to {_SUBJECT_LENGTH} printable characters")


def _check_email(claims: Mapping[str, object], _expected: Expected, _now: float) -> None:
    email = claims.get("email")
    if email is None:
        return
    # One '@' exactly: with two, "the domain" depends on who looks.
    if type(email) is not str or email.count("@") != 1 or not email.isprintable() or " " in email:
        _refuse(Reason.CLAIM_INVALID, "email", "'email' is not one plain address")


RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("issuer", _check_issuer),
    ("audience", _check_audience),
    ("expiry", _check_expiry),
    ("start", _check_start),
    ("lifetime", _check_lifetime),
    ("subject", _check_subject),
    ("e-mail", _check_email),
)
"""Every rule by name, in the order in which they are checked; each raises `ClaimError` or does nothing."""


def check_claims(claims: Mapping[str, object], expected: Expected, now: float) -> float:
    """Check claims: for good once the signature held, or before that, only to save a fetch.

    Args:
        claims: The payload.
        expected: What they must be.
        now: Seconds since the epoch.

    Returns:
        The time from which the token is refused as expired, in seconds since the epoch.

    Raises:
        ClaimError: If a rule is broken; ``claim`` says by which claim.
    """
    for _, rule in RULES:
        rule(claims, expected, now)
    return _time(claims, "exp") + expected.leeway
