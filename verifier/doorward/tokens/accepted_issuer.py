"""An issuer as one verifier accepts it: with the source of its keys, and what its tokens must say."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from doorward.errors import Reason, SignatureError
from doorward.issuers.issuer import Issuer
from doorward.keys.key import VerificationKey
from doorward.keys.source import KeySource
from doorward.shown import token_safe
from doorward.tokens.claims import Rules, check_claims
from doorward.tokens.expectations import Expectations
from doorward.tokens.jws import Header, Token

__all__ = ["AcceptedIssuer", "check_signature"]


class AcceptedIssuer:
    """An issuer whose tokens a verifier accepts, and the checks that depend on the issuer.

    Attributes:
        issuer: The issuer.
        key_source: Where its keys come from. It stays what it was made with, except for the length of a test
            in which `doorward_integrations.testing` stands in for it.
        expectations: What the claims of its tokens must be.
        rules: The rules for those claims.
    """

    __slots__ = ("expectations", "issuer", "key_source", "rules")

    def __init__(self, expectations: Expectations, key_source: KeySource) -> None:
        """Bind an issuer to its keys.

        Args:
            expectations: What the claims of its tokens must be.
            key_source: Where its keys come from.
        """
        self.issuer: Final[Issuer] = expectations.issuer
        self.key_source: KeySource = key_source
        self.expectations: Final[Expectations] = expectations
        self.rules: Final[Rules] = Rules.of(expectations)

    def check_algorithm(self, header: Header) -> None:
        """Refuse an algorithm that the issuer does not sign with, before a key is fetched.

        Args:
            header: The header of the token.

        Raises:
            SignatureError: If it names another algorithm.
        """
        if header.alg not in self.issuer.algorithms:
            raise SignatureError(
                Reason.ALGORITHM_NOT_ALLOWED,
                f"the header names {token_safe(header.alg)}; {self.issuer.name} signs with "
                f"{', '.join(self.issuer.algorithms)}",
            )

    def key_at_hand(self, kid: str, now: float) -> VerificationKey | None:
        """Return the key with an id, if it may be used now without waiting; None otherwise.

        Args:
            kid: The key id.
            now: Seconds since the epoch.
        """
        keys = self.key_source.keys(now)
        return None if keys is None else keys.get(kid)

    def check_claims(self, claims: dict[str, object], now: float) -> tuple[float, float]:
        """Check claims by every rule; see `doorward.tokens.claims.check_claims`.

        Args:
            claims: The payload.
            now: Seconds since the epoch.

        Returns:
            From when to when the token is valid, leeway included, in seconds since the epoch.

        Raises:
            ClaimError: If a rule is broken.
        """
        return check_claims(claims, self.expectations, self.rules, now)


def check_signature(token: Token, header: Header, key: VerificationKey) -> None:
    """Check a signature, with the algorithm of the key and no other.

    Args:
        token: The token.
        header: Its header.
        key: The key with the id that the header names.

    Raises:
        SignatureError: If the signature does not hold.
        MalformedTokenError: If it is not base64url.
    """
    if header.alg != key.alg:
        raise SignatureError(
            Reason.ALGORITHM_NOT_ALLOWED,
            f"the header names {token_safe(header.alg)}, its key is one for {key.alg}",
        )
    signed_digest = token.signed_digest or sha256(token.signed).digest()
    if not key.verify(token.decode_signature(), signed_digest):
        raise SignatureError(Reason.BAD_SIGNATURE, f"the signature was not made by the key {key.shown}")
