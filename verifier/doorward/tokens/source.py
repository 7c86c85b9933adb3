"""One accepted issuer: where its keys come from, and the steps that a token of its has to pass.

The steps stand apart from `Verifier`, which makes them in order, since the account of a token makes them too.
"""

from __future__ import annotations

from dataclasses import dataclass

from doorward.errors import KeysUnavailableError, Reason, SignatureError, clip
from doorward.keys.cache import KeyCache
from doorward.keys.key import VerificationKey
from doorward.tokens import jws
from doorward.tokens.claims import Expected
from doorward.tokens.issuers import Issuer

__all__ = ["Source", "afind_key", "find_key"]


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

    def signing_key(self, kid: str, now: float) -> VerificationKey | None:
        """Give the key with that id if it is at hand and may be used.

        Args:
            kid: The key id.
            now: Seconds since the epoch.
        """
        keys = self.cache.keys(now)
        return None if keys is None else keys.get(kid)

    @staticmethod
    def check_signature(header: jws.Header, key: VerificationKey, segment: bytes, signed: bytes) -> None:
        """Check the signature, with the algorithm of the key and no other.

        Args:
            header: The header of the token.
            key: The key with the id that the header names.
            segment: The third segment of the token.
            signed: The SHA-256 of the other two, with their dot.

        Raises:
            SignatureError: If the signature does not hold.
            MalformedTokenError: If it is not base64url.
        """
        if header.alg != key.alg:
            raise SignatureError(
                Reason.ALGORITHM_NOT_ALLOWED,
                f"the header names {clip(header.alg)}, its key is one for {key.alg}",
            )
        if not key.verify(jws.decode_signature(segment), signed):
            raise SignatureError(Reason.BAD_SIGNATURE, f"the signature is not one of key {key.shown}")


def find_key(sources: tuple[Source, ...], kid: str) -> tuple[Source, VerificationKey]:
    """Ask issuers for a key, one after the other.

    Args:
        sources: Whom to ask.
        kid: The key id.

    Returns:
        The first who has such a key, and the key.

    Raises:
        SignatureError: If none of them publishes it; see `KeyCache.get`.
        KeysUnavailableError: If that could not be found out of all of them.
    """
    unavailable: KeysUnavailableError | None = None
    *others, last = sources
    for source in others:
        try:
            return source, source.cache.get(kid)
        except SignatureError:
            continue
        except KeysUnavailableError as error:
            unavailable = error
    try:
        return last, last.cache.get(kid)
    except SignatureError:
        if unavailable is not None:
            raise unavailable from None  # one of them may have it: nobody can say now
        raise


async def afind_key(sources: tuple[Source, ...], kid: str) -> tuple[Source, VerificationKey]:
    """Do as `find_key` does, without blocking the event loop.

    Args:
        sources: Whom to ask.
        kid: The key id.

    Returns:
        As `find_key`.

    Raises:
        SignatureError: As `find_key`.
        KeysUnavailableError: As `find_key`.
    """
    unavailable: KeysUnavailableError | None = None
    *others, last = sources
    for source in others:
        try:
            return source, await source.cache.aget(kid)
        except SignatureError:
            continue
        except KeysUnavailableError as error:
            unavailable = error
    try:
        return last, await last.cache.aget(kid)
    except SignatureError:
        if unavailable is not None:
            raise unavailable from None
        raise
