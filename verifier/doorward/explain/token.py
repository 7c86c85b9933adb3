"""The explanation of a token, check by check: what was expected, what was seen, and what to do about it.

It goes through the steps of `doorward.tokens.engine`, and goes on where verification stops, so that a reader
who has three things to mend learns of all three. It never repeats the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from doorward.errors import Reason, RefusedError
from doorward.shown import LONGEST, shown, token_safe
from doorward.tokens import jws
from doorward.tokens.accepted_issuer import AcceptedIssuer, check_signature
from doorward.tokens.claims import CLAIM_RULES
from doorward.tokens.engine import Engine
from doorward.tokens.principal import Principal
from doorward.tokens.verifier import Verifier, engine_of

__all__ = ["Check", "Outcome", "TokenExplanation", "explain_token"]


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an explanation; plain data.

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
class TokenExplanation:
    """All checks of a token, and their result.

    Attributes:
        checks: In the order in which they are made.
        principal: The caller, if all of them passed.
        error: The error that `Verifier.verify` raises, if one did not pass.
    """

    checks: tuple[Check, ...]
    principal: Principal | None
    error: RefusedError | None


def explain_token(verifier: Verifier, token: str | bytes) -> TokenExplanation:
    """Explain how a verifier decides on a token; asks the key endpoint as `Verifier.verify` does.

    Args:
        verifier: The verifier.
        token: The compact JWS, without ``Bearer``.

    Returns:
        The explanation.
    """
    principal: Principal | None = None
    error: RefusedError | None = None
    try:
        principal = verifier.verify(token)
    except RefusedError as refusal:
        error = refusal
    engine = engine_of(verifier)
    steps = _Steps(engine)
    steps.go(token)
    if steps.claims is None or steps.accepted is None:
        steps.not_reached(*(rule.name for rule in CLAIM_RULES))
    else:
        _check_rules(steps, steps.claims, steps.accepted, engine.clock())
    return TokenExplanation(tuple(steps.checks), principal, error)


_FORM: Final = "form"
_HEADER: Final = "header"
_ALGORITHM: Final = "algorithm"
_KEY: Final = "key"
_SIGNATURE: Final = "signature"
_STEPS: Final = (_FORM, _HEADER, _ALGORITHM, _KEY, _SIGNATURE)


class _Steps:
    """The steps from the form to the signature, and what came of each.

    Attributes:
        checks: What was checked so far.
        claims: The unverified claims, once they could be read.
        accepted: The issuer, once it is known.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.checks: list[Check] = []
        self.claims: dict[str, object] | None = None
        self.accepted: AcceptedIssuer | None = None

    def passed(self, name: str, expected: str, seen: str) -> None:
        self.checks.append(Check(name, Outcome.PASSED, expected, seen))

    def failed(self, name: str, expected: str, error: RefusedError) -> None:
        reason = error.reason
        self.checks.append(Check(name, Outcome.FAILED, expected, error.message, reason, reason.advice))

    def not_reached(self, *names: str) -> None:
        self.checks += [Check(name, Outcome.NOT_REACHED) for name in names]

    def go(self, token: str | bytes) -> None:
        """Take the steps in order, up to the first that fails."""
        step, expected = _FORM, "three segments of base64url, JSON in the first two"
        try:
            raw = jws.to_bytes(token)
            self._engine.check_size(raw)
            split = jws.split(raw)
            self.claims = split.read_claims()
            self.passed(step, expected, f"{len(raw)} bytes, three segments")
            step, expected = _HEADER, "an algorithm and a key id, and nothing that steers the check"
            header = jws.read_header(split.header)
            self.passed(step, expected, f"alg {token_safe(header.alg)}, kid {token_safe(header.kid)}")
            step, expected = _ALGORITHM, "one that the issuer signs with"
            self.accepted = accepted = self._engine.issuer_of(self.claims)
            expected = " or ".join(accepted.issuer.algorithms)
            accepted.check_algorithm(header)
            self.passed(step, expected, header.alg)
            step, expected = _KEY, f"one that {accepted.issuer.name} publishes"
            key = accepted.key_source.get(header.kid)
            self.passed(step, expected, key.shown)
            step, expected = _SIGNATURE, f"one made by the key {key.shown}"
            if split.signature == jws.REMOVED_SIGNATURE:
                raise jws.removed_signature()
            check_signature(split, header, key)
            self.passed(step, expected, "holds")
        except RefusedError as refusal:
            self.failed(step, expected, refusal)
            self.not_reached(*_STEPS[_STEPS.index(step) + 1 :])


def _check_rules(
    steps: _Steps, unverified_claims: Mapping[str, object], accepted: AcceptedIssuer, now: float
) -> None:
    """Check every claim rule on its own: a token with three wrong claims is explained in one go."""
    expectations = accepted.expectations
    for rule in accepted.rules.named:
        expected = rule.expected(expectations)
        try:
            rule.check(unverified_claims, expectations, now)
        except RefusedError as refusal:
            steps.failed(rule.name, expected, refusal)
        else:
            steps.passed(rule.name, expected, _seen(unverified_claims, rule.claims))


def _seen(claims: Mapping[str, object], names: tuple[str, ...]) -> str:
    """Show what claims say; they are for the holder of the token, and no secret there."""
    text = ", ".join(f"{name} {claims[name]!r}" for name in names if name in claims)
    return shown(text, LONGEST)
