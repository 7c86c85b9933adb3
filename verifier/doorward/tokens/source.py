"""One accepted issuer: where its keys come from, and the steps that a token of its has to pass.

The steps stand apart from `Verifier`, which makes them in order, since the account of a token makes them too.
"""

from __future__ import annotations

from dataclasses import dataclass

from doorward.errors import Reason, SignatureError, clip
from doorward.keys.cache import KeyCache
from doorward.keys.key import VerificationKey
from doorward.tokens import jws
from doorward.tokens.claims import Expected
from doorward.tokens.issuers import Issuer

__all__ = ["Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """An issuer with the cache of its keys, and what its tokens must say.

    Attributes:
        issuer: The issuer.
        cache: Its keys.
        expected: What the claims of its tokens must be.
    """

    issuer: Issuer
    cache: KeyCache
    expected: Expected

    def check_algorithm(self, header: jws.Header) -> None:
        """Refuse an algorithm that the issuer does not sign with, before any key is looked for.

        Args:
            header: The header of the token.

        Raises:
            SignatureError: If it names another algorithm.
        """
        if header.alg not in self.issuer.algorithms:
            raise SignatureError(
                Reason.ALGORITHM_NOT_ALLOWED,
                f"the header names {clip(header.alg)}; {self.issuer.name} signs with "
                f"{', '.join(self.issuer.algorithms)}",
            )

    @staticmethod
    def check_signature(
        token: bytes, segments: jws.Segments, header: jws.Header, key: VerificationKey
    ) -> None:
        """Check the signature, with the algorithm of the key and no other.

        Args:
            token: The whole token.
            segments: The same, cut up.
            header: Its header.
            key: The key with the id that the header names.

        Raises:
            SignatureError: If the signature does not hold.
            MalformedTokenError: If it is not base64url.
        """
        if header.alg != key.alg:
            raise SignatureError(
                Reason.ALGORITHM_NOT_ALLOWED,
                f"the header names {clip(header.alg)}, its key is one for {key.alg}",
            )
        signing_input = token[: -len(segments.signature) - 1]
        if not key.verify(jws.decode(segments.signature), signing_input):
            raise SignatureError(Reason.BAD_SIGNATURE, f"the signature is not one of key {clip(key.kid)}")
