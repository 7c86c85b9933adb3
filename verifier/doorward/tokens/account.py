"""An account of a token, check by check: what was expected, what was seen, and what to do about it.

It goes through the same functions as `Verifier.check`, and goes on where that stops, so that somebody who has
three things to mend learns of all three. It never repeats the token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from doorward.errors import Reason, RefusedError, clip
from doorward.tokens import jws
from doorward.tokens.claims import RULES, Expected
from doorward.tokens.memo import digest_of

if TYPE_CHECKING:
    from doorward.tokens.principal import Principal
    from doorward.tokens.source import Source
    from doorward.tokens.verifier import Verifier

__all__ = ["ADVICE", "Check", "Outcome", "TokenAccount", "explain_token"]

_SHOWN: Final = 200


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not_reached"


ADVICE: Final[Mapping[Reason, str]] = {
    Reason.NO_CREDENTIAL: "Send the header 'Authorization: Bearer ID_TOKEN'.",
    Reason.MULTIPLE_HEADERS: "Send one credential header. A proxy on the way may have added its own.",
    Reason.MULTIPLE_CREDENTIALS: "Send one token in the header.",
    Reason.UNSUPPORTED_SCHEME: "Use the scheme Bearer. A credential of the application's own can stay in "
    "Authorization if the ID token comes in X-Serverless-Authorization.",
    Reason.EMPTY_CREDENTIAL: "The variable that should hold the token is probably empty.",
    Reason.ACCESS_TOKEN: "Get an ID token: google.oauth2.id_token.fetch_id_token in Python, or gcloud auth "
    "print-identity-token.",
    Reason.TOKEN_TOO_LARGE: "Raise max_token_bytes, if tokens of that size are meant to be.",
    Reason.MALFORMED: "Look at how the token got here: quotes, a line break, a cut-off end.",
    Reason.HEADER_NOT_ALLOWED: "This is not a token of Google's: its own never hold that parameter.",
    Reason.KID_MISSING: "This is not a token of Google's: its own always name their key.",
    Reason.SIGNATURE_REMOVED: "Cloud Run has checked this token already. Turn one of the two checks off, "
    "or take the token where it is issued, and not from the log of a service.",
    Reason.ALGORITHM_NOT_ALLOWED: "Google signs with RS256. Perhaps the token is of another issuer, which "
    "must be configured.",
    Reason.UNKNOWN_KEY: "The token is old, or of another issuer; a restarted emulator has new keys.",
    Reason.BAD_SIGNATURE: "The token was changed on its way, or is a forgery.",
    Reason.CLAIM_MISSING: "Ask for a whole ID token: format=full, or includeEmail.",
    Reason.CLAIM_INVALID: "The claim has not the form that its issuer gives it.",
    Reason.WRONG_ISSUER: "Configure that issuer, if it is meant to be accepted.",
    Reason.WRONG_AUDIENCE: "Ask for a token with an accepted audience, or accept the one that was sent: the "
    "URL of the service, not its custom domain.",
    Reason.EXPIRED: "Get a new token: they live for one hour.",
    Reason.NOT_YET_VALID: "Compare the clocks of both machines.",
    Reason.LIFETIME_TOO_LONG: "Google's tokens live for one hour; an issuer of your own has max_lifetime.",
    Reason.PERMISSION_DENIED: "Grant roles/run.invoker to the caller, and give doorward the new policy.",
    Reason.KEYS_UNAVAILABLE: "Look at the connection to the key endpoint; nothing is wrong with the token.",
}
"""What to do about each reason, in a sentence."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an account; plain data.

    Attributes:
        name: What was checked.
        outcome: How it ended.
        expected: What would have been right.
        seen: What was there; never a part of the token.
        reason: The code of the failure; None where it did not fail.
        advice: What to do about it; empty where it did not fail.
    """

    name: str
    outcome: Outcome
    expected: str = ""
    seen: str = ""
    reason: Reason | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """All checks of a token, and what came of them.

    Attributes:
        checks: In the order in which they are made.
        principal: Who is calling, if all of them passed.
        error: Why not, if one did not: the error that `Verifier.verify` raises.
    """

    checks: tuple[Check, ...]
    principal: Principal | None
    error: RefusedError | None


class _Checks:
    """Collects checks, and catches what they raise."""

    def __init__(self) -> None:
        self.made: list[Check] = []
        self._failed = False

    def passed(self, name: str, expected: str, seen: str) -> None:
        self.made.append(Check(name, Outcome.PASSED, expected, seen))

    def failed(self, name: str, expected: str, error: RefusedError) -> None:
        advice = ADVICE.get(error.reason, "")
        self.made.append(Check(name, Outcome.FAILED, expected, error.message, error.reason, advice))

    def not_reached(self, *names: str) -> None:
        self.made += [Check(name, Outcome.NOT_REACHED) for name in names]


_FORM: Final = "form"
_HEADER: Final = "header"
_ALGORITHM: Final = "algorithm"
_KEY: Final = "key"
_SIGNATURE: Final = "signature"
_STAGES: Final = (_FORM, _HEADER, _ALGORITHM, _KEY, _SIGNATURE)


def explain_token(verifier: Verifier, token: str | bytes) -> TokenAccount:
    """Give an account of a token; asks the key endpoint as `Verifier.verify` does.

    Args:
        verifier: By whose rules.
        token: The compact JWS, without ``Bearer``.

    Returns:
        The account.
    """
    checks = _Checks()
    principal: Principal | None = None
    error: RefusedError | None = None
    try:
        principal = verifier.verify(token)
    except RefusedError as refusal:
        error = refusal
    claims_of = _stages(verifier, token, checks)
    if claims_of is None:
        checks.not_reached(*(name for name, _ in RULES))
    else:
        _rules(verifier, *claims_of, checks)
    return TokenAccount(tuple(checks.made), principal, error)


def _stages(
    verifier: Verifier, token: str | bytes, checks: _Checks
) -> tuple[Mapping[str, object], Source] | None:
    """Go from the form to the signature; give the claims and the issuer, if they are known by then."""
    stage, expected, claims, source = _FORM, "three segments of base64url, JSON in the first two", None, None
    try:
        raw = jws.to_bytes(token)
        verifier.bound(raw)
        signing_input, head, payload, signature = jws.split(raw)
        claims = jws.read_payload(payload)
        checks.passed(_FORM, expected, f"{len(raw)} bytes, three segments")
        stage, expected = _HEADER, "an algorithm and a key id, and nothing that steers the check"
        header = jws.read_header(head)
        checks.passed(_HEADER, expected, f"alg {clip(header.alg)}, kid {clip(header.kid)}")
        stage, expected = _ALGORITHM, "one that the issuer signs with"
        source = verifier.source_of(claims)
        expected = " or ".join(source.issuer.algorithms)
        source.check_algorithm(header)
        checks.passed(_ALGORITHM, expected, header.alg)
        stage, expected = _KEY, f"one that {source.issuer.name} publishes"
        key = source.cache.get(header.kid)
        checks.passed(_KEY, expected, clip(key.kid))
        stage, expected = _SIGNATURE, f"one of key {clip(key.kid)}"
        jws.refuse_removed_signature(signature)
        source.check_signature(header, key, signature, digest_of(signing_input))
        checks.passed(_SIGNATURE, expected, "holds")
    except RefusedError as refusal:
        checks.failed(stage, expected, refusal)
        checks.not_reached(*_STAGES[_STAGES.index(stage) + 1 :])
    return None if claims is None or source is None else (claims, source)


def _rules(
    verifier: Verifier, unverified_claims: Mapping[str, object], source: Source, checks: _Checks
) -> None:
    """Check every claim rule for itself: who has three claims to mend learns of all three."""
    now = verifier.now()
    for name, rule in (*RULES, *(("issuer's own", rule) for rule in source.issuer.extra_rules)):
        expected = _EXPECTED[name](source.expected)
        try:
            rule(unverified_claims, source.expected, now)
        except RefusedError as refusal:
            checks.failed(name, expected, refusal)
        else:
            checks.passed(name, expected, _seen(unverified_claims, *_CLAIMS[name]))


def _seen(claims: Mapping[str, object], *names: str) -> str:
    """Show what claims say; they are for the one who holds the token, and are no secret to them."""
    text = ", ".join(f"{name} {claims[name]!r}" for name in names if name in claims)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "issuer": ("iss",),
    "audience": ("aud",),
    "expiry": ("exp",),
    "start": ("iat", "nbf"),
    "lifetime": ("iat", "exp"),
    "subject": ("sub",),
    "e-mail": ("email", "email_verified"),
    "issuer's own": (),
}
_EXPECTED: Final[Mapping[str, Callable[[Expected], str]]] = {
    "issuer": lambda expected: " or ".join(expected.issuer.spellings),
    "audience": lambda expected: str(expected.audiences),
    "expiry": lambda expected: f"in the future, by at least -{expected.leeway:.0f} s",
    "start": lambda expected: f"in the past, by at least -{expected.leeway:.0f} s",
    "lifetime": lambda expected: f"at most {expected.issuer.max_lifetime:.0f} s",
    "subject": lambda _: "the id of the account",
    "e-mail": lambda _: "one plain address, or none",
    "issuer's own": lambda expected: f"what {expected.issuer.name} asks for besides",
}
