"""The claim rules: pure functions of claims, expectations and the time.

Rules from RFC 7519, section 4.1, OpenID Connect Core 1.0, section 3.1.3.7, and Google's page on ID tokens
(https://developers.google.com/identity/openid-connect/reference), each in its strict reading.

A rule is one entry of `CLAIM_RULES`. From there it is applied to every token, whichever way its key was
found, and explained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from doorward.errors import ClaimError, Reason
from doorward.issuers.claim_rule import ClaimRule, numeric_date, refuse
from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward.shown import LONGEST, shown
from doorward.tokens.expectations import Expectations

__all__ = ["CLAIM_RULES", "NamedRule", "Rules", "check_claims", "refuse_early"]

Check = Callable[[Mapping[str, object], Expectations, float], None]

_LATEST: Final = 253_402_300_800  # the year 10000; beyond it, date arithmetic fails
_SUBJECT_LENGTH: Final = 255  # OpenID Connect Core 1.0, section 2
_EARLY: Final = "the signature was not checked"


class NamedRule(NamedTuple):
    """A rule for the claims of a token.

    Attributes:
        name: Its name in an explanation.
        check: Raises `ClaimError` where the claims break the rule; takes them, the expectations and the time
            in seconds since the epoch.
        expected: Says what would be right, for an explanation.
        claims: The claims that it reads, for an explanation.
        in_quick_look: Whether the quick look of `check_claims` repeats it. Only for the rules that stand
            there.
    """

    name: str
    check: Check
    expected: Callable[[Expectations], str]
    claims: tuple[str, ...] = ()
    in_quick_look: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for the tokens of one issuer.

    Attributes:
        named: All of them, in the order in which they are checked.
        all: The same, without their names.
        beyond_quick_look: Those that the quick look of `check_claims` does not repeat; usually none.
    """

    named: tuple[NamedRule, ...]
    all: tuple[Check, ...]
    beyond_quick_look: tuple[Check, ...]

    @classmethod
    def of(cls, expectations: Expectations) -> Rules:
        """Gather the rules for the tokens of an issuer: those for every token, then its own.

        Args:
            expectations: What its tokens must say.
        """
        own = [
            NamedRule("issuer's own", _own(rule), lambda expected: f"what {expected.issuer.name} asks for")
            for rule in expectations.issuer.extra_rules
        ]
        named = (*CLAIM_RULES, *own)
        return cls(
            named,
            tuple(rule.check for rule in named),
            tuple(rule.check for rule in named if not rule.in_quick_look),
        )


def check_claims(
    claims: dict[str, object], expectations: Expectations, rules: Rules, now: float
) -> tuple[float, float]:
    """Check claims: for good once the signature held, or before that, only to save a fetch.

    Args:
        claims: The payload.
        expectations: What the claims must be.
        rules: The rules, made of the same expectations.
        now: Seconds since the epoch.

    Returns:
        The time from which the token is valid, and the time from which it is refused as expired, leeway
        included, in seconds since the epoch.

    Raises:
        ClaimError: If a rule is broken; ``claim`` says by which claim.
    """
    exp, iat, aud, email = claims.get("exp"), claims.get("iat"), claims.get("aud"), claims.get("email")
    # The quick look: one expression that holds only where every rule that it repeats would pass. A property
    # test compares it with them.
    if (
        type(exp) is int
        and type(iat) is int
        and type(aud) is str
        and 0 <= iat < exp < _LATEST  # first of all: an integer of any size does not become a float
        and exp - iat <= expectations.longest
        and iat <= now + expectations.leeway
        and now < (expires_at := exp + expectations.leeway)
        and aud in expectations.exact_audiences
        and claims.get("iss") in expectations.iss_values
        and _is_subject(claims.get("sub"))
        and (email is None or _is_address(email))
        and "nbf" not in claims
    ):
        if rules.beyond_quick_look:
            for check in rules.beyond_quick_look:
                check(claims, expectations, now)
        return iat - expectations.leeway, expires_at
    for check in rules.all:
        check(claims, expectations, now)
    begin = numeric_date(claims, "iat")
    if "nbf" in claims:
        begin = max(begin, numeric_date(claims, "nbf"))
    return begin - expectations.leeway, numeric_date(claims, "exp") + expectations.leeway


def refuse_early(unverified_claims: Mapping[str, object], expectations: Expectations, now: float) -> None:
    """Refuse an expired token, or one for another audience, before its signature is checked.

    Args:
        unverified_claims: The payload, of which only these two claims are looked at.
        expectations: What the claims must be.
        now: Seconds since the epoch.

    Raises:
        ClaimError: If it has expired, or its audience is not one of those listed.
    """
    exp = unverified_claims.get("exp")
    if type(exp) is int and 0 <= exp <= now - expectations.leeway:
        refuse(Reason.EXPIRED, "exp", f"{_expired(now - exp)}; {_EARLY}")
    if not expectations.audiences.listed:
        return  # the application's own code decides, at its own cost: not for a token without a signature
    try:
        _check_audience(unverified_claims, expectations, now)
    except ClaimError as error:
        raise ClaimError(error.reason, f"{error.message}; {_EARLY}", error.claim) from None


def _own(rule: ClaimRule) -> Check:
    """Give an issuer's own rule the form of the others: it reads the claims, and cannot change them."""

    def check(claims: Mapping[str, object], expectations: Expectations, now: float) -> None:
        rule(MappingProxyType(claims), expectations.leeway, now)

    return check


def _quoted(value: object) -> str:
    """Quote a claim for the log; a verified claim is no secret, but may be long."""
    # Text only: the repr of a nested value may be as deep as its sender liked.
    text = repr(value) if isinstance(value, str) else f"not a string but {type(value).__name__}"
    return shown(text, LONGEST)


def _check_issuer(claims: Mapping[str, object], expected: Expectations, _now: float) -> None:
    iss = claims.get("iss")
    # The type first: "in" on a string, or an object with a comparison of its own, has misled other libraries.
    if type(iss) is str and iss in expected.issuer.iss_values:
        return
    if iss is None:
        refuse(Reason.CLAIM_MISSING, "iss", "the token has no 'iss'")
    wanted = " or ".join(expected.issuer.iss_values)
    refuse(Reason.WRONG_ISSUER, "iss", f"'iss' is {_quoted(iss)}, expected {wanted}")


def _check_audience(claims: Mapping[str, object], expected: Expectations, _now: float) -> None:
    aud = claims.get("aud")
    audiences = expected.audiences
    if type(aud) is str:
        if audiences.accepts(aud) or (
            expected.gcloud_tokens and aud == GCLOUD_CLIENT_ID and _names_no_unverified_address(claims)
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
    seen = _quoted(aud if type(aud) is str else " and ".join(aud))
    refuse(Reason.WRONG_AUDIENCE, "aud", f"'aud' is {seen}, expected {_quoted(str(audiences))}")


def _names_no_unverified_address(claims: Mapping[str, object]) -> bool:
    """Return whether the address is verified, or left out, as gcloud does without ``--include-email``."""
    return "email" not in claims or (
        claims.get("email_verified") is True and type(claims.get("email")) is str
    )


def _expired(seconds: float) -> str:
    return f"the token expired {seconds:.0f} s ago"


def _check_expiry(claims: Mapping[str, object], expected: Expectations, now: float) -> None:
    exp = numeric_date(claims, "exp")
    if now >= exp + expected.leeway:
        refuse(Reason.EXPIRED, "exp", _expired(now - exp))


def _check_start(claims: Mapping[str, object], expected: Expectations, now: float) -> None:
    latest = now + expected.leeway
    if (iat := numeric_date(claims, "iat")) > latest:
        ahead = f"the token was issued {iat - now:.0f} s in the future: compare the clocks"
        refuse(Reason.NOT_YET_VALID, "iat", ahead)
    if "nbf" in claims and (nbf := numeric_date(claims, "nbf")) > latest:
        refuse(Reason.NOT_YET_VALID, "nbf", f"the token is not valid for another {nbf - now:.0f} s")


def _check_lifetime(claims: Mapping[str, object], expected: Expectations, _now: float) -> None:
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
    # One '@' exactly: with two, two readers find two domains.
    return type(email) is str and email.count("@") == 1 and email.isprintable() and " " not in email


def _check_subject(claims: Mapping[str, object], expected: Expectations, _now: float) -> None:
    sub = claims.get("sub")
    if sub is None:
        if expected.issuer.subject_optional and "sub" not in claims:
            return
        refuse(Reason.CLAIM_MISSING, "sub", "the token has no 'sub'")
    if not _is_subject(sub):
        refuse(Reason.CLAIM_INVALID, "sub", f"'sub' must be 1 to {_SUBJECT_LENGTH} printable characters")


def _check_email(claims: Mapping[str, object], _expected: Expectations, _now: float) -> None:
    email = claims.get("email")
    if email is not None and not _is_address(email):
        refuse(Reason.CLAIM_INVALID, "email", "'email' is not one plain address")


CLAIM_RULES: Final[tuple[NamedRule, ...]] = (
    NamedRule(
        "issuer",
        _check_issuer,
        lambda expected: " or ".join(expected.issuer.iss_values),
        ("iss",),
        in_quick_look=True,
    ),
    NamedRule(
        "audience", _check_audience, lambda expected: str(expected.audiences), ("aud",), in_quick_look=True
    ),
    NamedRule(
        "expiry",
        _check_expiry,
        lambda expected: f"in the future, by at least -{expected.leeway:.0f} s",
        ("exp",),
        in_quick_look=True,
    ),
    NamedRule(
        "start",
        _check_start,
        lambda expected: f"in the past, by at least -{expected.leeway:.0f} s",
        ("iat", "nbf"),
        in_quick_look=True,
    ),
    NamedRule(
        "lifetime",
        _check_lifetime,
        lambda expected: f"at most {expected.issuer.max_lifetime:.0f} s",
        ("iat", "exp"),
        in_quick_look=True,
    ),
    NamedRule("subject", _check_subject, lambda _: "the id of the account", ("sub",), in_quick_look=True),
    NamedRule(
        "e-mail",
        _check_email,
        lambda _: "one plain address, or none",
        ("email", "email_verified"),
        in_quick_look=True,
    ),
)
"""The rules for the tokens of every issuer, in the order in which they are checked."""
