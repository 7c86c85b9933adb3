"""The claim rules: pure functions of claims, expectations and the time.

Rules from RFC 7519, section 4.1, OpenID Connect Core 1.0, section 3.1.3.7, and Google's page on ID tokens
(https://developers.google.com/identity/openid-connect/reference), each in its strict reading.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NoReturn

from doorward.errors import ClaimError, ConfigurationError, Reason
from doorward.tokens.accounts import SERVICE_ACCOUNT_DOMAIN
from doorward.tokens.audiences import Audience, Audiences
from doorward.tokens.issuers import GOOGLE, Issuer

__all__ = [
    "GCLOUD_CLIENT_ID",
    "RULES",
    "Expected",
    "Rule",
    "check_claims",
    "expectations",
    "numeric_date",
    "plainly_good",
    "refuse",
    "refuse_unseen",
]

GCLOUD_CLIENT_ID: Final = "32555940559.apps.googleusercontent.com"
"""The audience of ``gcloud auth print-identity-token`` for a user: it names gcloud, and no service
(https://cloud.google.com/run/docs/authenticating/developers)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the claims of a token must be.

    Attributes:
        issuer: Whose key made the signature, or would have to.
        audiences: The accepted audiences.
        leeway: Seconds by which the clocks may differ, applied to ``exp``, ``iat`` and ``nbf``.
        gcloud_users: Whether a token that gcloud made for a user will do, though it is for no service.
    """

    issuer: Issuer
    audiences: Audiences
    leeway: float
    gcloud_users: bool = False
    # What every token is compared with, worked out once.
    exact_audiences: frozenset[str] = field(init=False, repr=False, compare=False)
    longest: float = field(init=False, repr=False, compare=False)
    # As they stand in a payload without escapes: one of them in each that may pass. Empty where none can be
    # told.
    audience_marks: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what every token is compared with."""
        object.__setattr__(self, "exact_audiences", self.audiences.exact)
        object.__setattr__(self, "longest", self.issuer.max_lifetime + self.leeway)
        accepted = self.audiences.exact | ({GCLOUD_CLIENT_ID} if self.gcloud_users else set())
        told = sorted(accepted) if self.audiences.listed and len(accepted) <= _FEW else ()
        # Nobody can spell a lone surrogate without an escape.
        marks = tuple(json.dumps(one, ensure_ascii=False).encode(errors="replace") for one in told)
        object.__setattr__(self, "audience_marks", marks)


Rule = Callable[[Mapping[str, object], Expected, float], None]

_LATEST: Final = 253_402_300_800  # the year 10000; beyond it, date arithmetic fails
_SUBJECT_LENGTH: Final = 255  # OpenID Connect Core 1.0, section 2
_SHOWN: Final = 200
_UNSEEN: Final = "its signature was not looked at"
_FEW: Final = 4
_MAX_LEEWAY: Final = 300.0  # what Google's own libraries allow at most; more would only hide a broken clock


def _shown(value: object) -> str:
    """Quote a claim for the log; a verified claim is no secret, but may be long."""
    # Text only: the repr of what is nested may go as deep as whoever wrote it liked.
    text = repr(value) if isinstance(value, str) else f"not a string but {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def refuse(reason: Reason, claim: str, message: str) -> NoReturn:
    """Refuse a token for one of its claims.

    Args:
        reason: The stable code.
        claim: The name of the claim.
        message: A sentence for the log.

    Raises:
        ClaimError: Always.
    """
    raise ClaimError(reason, message, claim)


def numeric_date(claims: Mapping[str, object], name: str) -> float:
    """Take a NumericDate (RFC 7519, section 2): a number, so neither text, nor true, nor the year 10000.

    Args:
        claims: The payload.
        name: The name of the claim.

    Returns:
        Seconds since the epoch.

    Raises:
        ClaimError: If the claim is missing, or no such number.
    """
    value = claims.get(name)
    if type(value) is int or type(value) is float:
        if 0 <= value < _LATEST:
            return value
        refuse(Reason.CLAIM_INVALID, name, f"'{name}' is out of range")
    if name in claims:
        refuse(Reason.CLAIM_INVALID, name, f"'{name}' must be a number, not {type(value).__name__}")
    refuse(Reason.CLAIM_MISSING, name, f"the token has no '{name}'")


def _check_issuer(claims: Mapping[str, object], expected: Expected, _now: float) -> None:
    iss = claims.get("iss")
    # The type first: "in" on a string, or an object with a comparison of its own, is how others were fooled.
    if type(iss) is str and iss in expected.issuer.spellings:
        return
    if iss is None:
        refuse(Reason.CLAIM_MISSING, "iss", "the token has no 'iss'")
    wanted = " or ".join(expected.issuer.spellings)
    refuse(Reason.WRONG_ISSUER, "iss", f"'iss' is {_shown(iss)}, expected {wanted}")


def _check_audience(claims: Mapping[str, object], expected: Expected, _now: float) -> None:
    aud = claims.get("aud")
    audiences = expected.audiences
    if type(aud) is str:
        if audiences.accepts(aud) or (
            expected.gcloud_users and aud == GCLOUD_CLIENT_ID and _is_google_user(claims)
        ):
            return
    elif aud is None:
        refuse(Reason.CLAIM_MISSING, "aud", "the token has no 'aud'")
    elif type(aud) is not tuple or not expected.issuer.audience_lists:
        refuse(Reason.CLAIM_INVALID, "aud", f"'aud' must be one string for the issuer {expected.issuer.name}")
    elif not all(type(one) is str for one in aud):
        refuse(Reason.CLAIM_INVALID, "aud", "'aud' holds what is not a string")
    elif any(map(audiences.accepts, aud)):
        return
    seen = _shown(aud if type(aud) is str else " and ".join(aud))
    refuse(Reason.WRONG_AUDIENCE, "aud", f"'aud' is {seen}, expected {_shown(str(audiences))}")


def _is_google_user(claims: Mapping[str, object]) -> bool:
    """Tell a person by a verified address: a service account can have a token made for the very service."""
    email = claims.get("email")
    return (
        claims.get("email_verified") is True
        and type(email) is str
        and not email.lower().endswith(SERVICE_ACCOUNT_DOMAIN)
    )


def _check_expiry(claims: Mapping[str, object], expected: Expected, now: float) -> None:
    exp = numeric_date(claims, "exp")
    if now >= exp + expected.leeway:
        refuse(Reason.EXPIRED, "exp", f"the token expired {now - exp:.0f} s ago")


def _check_start(claims: Mapping[str, object], expected: Expected, now: float) -> None:
    latest = now + expected.leeway
    if (iat := numeric_date(claims, "iat")) > latest:
        ahead = f"the token was issued {iat - now:.0f} s in the future: compare the clocks"
        refuse(Reason.NOT_YET_VALID, "iat", ahead)
    if "nbf" in claims and (nbf := numeric_date(claims, "nbf")) > latest:
        refuse(Reason.NOT_YET_VALID, "nbf", f"the token is not valid for another {nbf - now:.0f} s")


def _check_lifetime(claims: Mapping[str, object], expected: Expected, _now: float) -> None:
    lifetime = numeric_date(claims, "exp") - numeric_date(claims, "iat")
    issuer = expected.issuer
    if not 0 < lifetime <= expected.longest:
        refuse(
            Reason.LIFETIME_TOO_LONG if lifetime > 0 else Reason.CLAIM_INVALID,
            "exp",
            f"a lifetime of {lifetime:.0f} s; {issuer.name} issues for at most {issuer.max_lifetime:.0f} s",
        )


def _is_subject(sub: object) -> bool:
    return type(sub) is str and 0 < len(sub) <= _SUBJECT_LENGTH and sub.isprintable()


def _is_address(email: object) -> bool:
    # One '@' exactly: with two, "the domain" depends on who looks.
    return type(email) is str and email.count("@") == 1 and email.isprintable() and " " not in email


def _check_subject(claims: Mapping[str, object], expected: Expected, _now: float) -> None:
    sub = claims.get("sub")
    if sub is None:
        if expected.issuer.subject_optional and "sub" not in claims:
            return
        refuse(Reason.CLAIM_MISSING, "sub", "the token has no 'sub'")
    if not _is_subject(sub):
        refuse(Reason.CLAIM_INVALID, "sub", f"'sub' must be 1 to {_SUBJECT_LENGTH} printable characters")


def _check_email(claims: Mapping[str, object], _expected: Expected, _now: float) -> None:
    email = claims.get("email")
    if email is not None and not _is_address(email):
        refuse(Reason.CLAIM_INVALID, "email", "'email' is not one plain address")


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
_OWN: Final = tuple(rule for _, rule in RULES)


def check_claims(claims: dict[str, object], expected: Expected, now: float) -> float:
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
    for rule in _OWN:
        rule(claims, expected, now)
    if expected.issuer.extra_rules:
        shown = MappingProxyType(claims)
        for rule in expected.issuer.extra_rules:
            rule(shown, expected, now)
    return numeric_date(claims, "exp") + expected.leeway


def plainly_good(claims: dict[str, object], expected: Expected, now: float) -> float | None:
    """See at a glance whether an ordinary token keeps every rule; any other is for `check_claims`.

    Args:
        claims: The payload.
        expected: What they must be.
        now: Seconds since the epoch.

    Returns:
        What `check_claims` would return; None says nothing either way.
    """
    exp, iat, aud, email = claims.get("exp"), claims.get("iat"), claims.get("aud"), claims.get("email")
    if (
        type(exp) is int
        and type(iat) is int
        and type(aud) is str
        and 0 <= iat < exp < _LATEST  # first of all: an integer of any size does not become a float
        and exp - iat <= expected.longest
        and iat <= now + expected.leeway
        and now < (until := exp + expected.leeway)
        and aud in expected.exact_audiences
        and claims.get("iss") in expected.issuer.spellings
        and _is_subject(claims.get("sub"))
        and (email is None or _is_address(email))
        and "nbf" not in claims
        and not expected.issuer.extra_rules
    ):
        return until
    return None


def refuse_unseen(unverified_claims: dict[str, object], expected: Expected, now: float) -> None:
    """Refuse a token that says of itself that it has expired, or is for another: that needs no signature.

    Args:
        unverified_claims: The payload, of which nothing else is looked at.
        expected: Whose leeway, and which audiences.
        now: Seconds since the epoch.

    Raises:
        ClaimError: If it is expired, or its audience is not one of those listed.
    """
    exp = unverified_claims.get("exp")
    if type(exp) is int and 0 <= exp <= now - expected.leeway:
        refuse(Reason.EXPIRED, "exp", f"the token expired {now - exp:.0f} s ago; {_UNSEEN}")
    if not expected.audiences.listed:
        return  # somebody's own code tells, at its own cost: not for what nobody has signed
    try:
        _check_audience(unverified_claims, expected, now)
    except ClaimError as error:
        raise ClaimError(error.reason, f"{error.message}; {_UNSEEN}", error.claim) from None


def expectations(
    issuers: Sequence[Issuer],
    audience: str | Audience | Iterable[str | Audience] | None,
    leeway: float,
    *,
    gcloud_users: bool,
) -> list[Expected]:
    """Work out what the tokens of each issuer must say.

    Args:
        issuers: Who may sign.
        audience: What is accepted; None only where every issuer brings its own.
        leeway: Seconds by which the clocks may differ, 0 to 300.
        gcloud_users: Whether a token that gcloud made for a user will do.

    Returns:
        The expectations, in the order of the issuers.

    Raises:
        ConfigurationError: If there is no audience, or one too many, or the leeway is out of range.
    """
    if not 0 <= leeway <= _MAX_LEEWAY:
        raise ConfigurationError(f"leeway is {leeway!r}; it must be 0 to 300 seconds")
    owned = bool(issuers) and all(issuer.audiences for issuer in issuers)
    if owned and audience is not None:
        raise ConfigurationError(
            "every issuer here brings its own audience, so the one that is given would never be asked for: "
            "leave it out"
        )
    if gcloud_users and not any(_is_google(issuer) for issuer in issuers):
        raise ConfigurationError(
            "accept_gcloud_user_tokens is about Google's tokens: add GOOGLE to the issuers"
        )
    ours = None if owned else Audiences(() if audience is None else audience)
    return [
        Expected(
            issuer,
            Audiences(issuer.audiences) if issuer.audiences or ours is None else ours,
            leeway,
            gcloud_users=gcloud_users and _is_google(issuer),
        )
        for issuer in issuers
    ]


def _is_google(issuer: Issuer) -> bool:
    """Tell Google's own issuer, or the emulator in its place, from every other."""
    return issuer.spellings == GOOGLE.spellings
