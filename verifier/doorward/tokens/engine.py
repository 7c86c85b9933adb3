"""Verification, step by step and in one place: size, form, header, issuer, key, signature, claims.

`Engine.start` goes as far as it can without waiting; where a key has to be asked for, `Engine.finish` and
`Engine.afinish` go on. The verifier, the door, the reader of stripped tokens and explanations all use these
steps, so that none of them can disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple, final

from doorward.errors import (
    ClaimError,
    KeysUnavailableError,
    MalformedTokenError,
    Reason,
    SignatureError,
)
from doorward.keys.key import VerificationKey
from doorward.keys.waiting import BLOCKING, IN_LOOP, Waits, run_blocking
from doorward.shown import token_safe
from doorward.tokens.accepted_issuer import AcceptedIssuer, check_signature
from doorward.tokens.claims import check_claims, refuse_early
from doorward.tokens.jws import BRIEF, REMOVED_SIGNATURE, Header, Token, read_header, removed_signature
from doorward.tokens.principal import Principal
from doorward.tokens.token_cache import TokenCache, VerifiedToken

__all__ = ["Engine", "NeedsKey"]

_HEADERS_KEPT: Final = 64
_LONG: Final = 2048
"""Bytes over which a token is hashed only once, for its digest and for its signature; Google's are
shorter."""


@final
class NeedsKey(NamedTuple):
    """A token whose key has to be asked for; nothing of it is believed.

    Attributes:
        token: The token.
        header: Its header.
        now: The time of the decision, in seconds since the epoch.
        issuers: Whose keys it may be signed with, in the order in which they are asked.
        refusal: Why the keys that are at hand did not sign it; None if there are none.
    """

    token: Token
    header: Header
    now: float
    issuers: tuple[AcceptedIssuer, ...]
    refusal: SignatureError | None = None


class Engine:
    """The verification of tokens by one set of rules.

    Attributes:
        issuers: The accepted issuers.
        clock: The time that tokens are checked by, in seconds since the epoch.
    """

    def __init__(
        self,
        issuers: tuple[AcceptedIssuer, ...],
        *,
        max_token_bytes: int,
        token_cache: TokenCache | None,
        clock: Callable[[], float],
    ) -> None:
        """Take settings that were checked before.

        Args:
            issuers: The accepted issuers, at least one; no value of ``iss`` belongs to two of them.
            max_token_bytes: Size over which a token is refused before it is split.
            token_cache: Keeps verified tokens; None verifies each one anew.
            clock: Wall clock, in seconds since the epoch.
        """
        self.issuers: Final = issuers
        self.clock: Final = clock
        self._only: Final = issuers[0] if len(issuers) == 1 else None
        self._by_iss: Final = {iss: one for one in issuers for iss in one.issuer.iss_values}
        self._limit: Final = max_token_bytes
        self._token_cache: Final = token_cache
        self._headers: Final[dict[bytes, Header]] = {}

    @property
    def leeway(self) -> float:
        """Seconds by which clocks may differ, the same for every issuer."""
        return self.issuers[0].expectations.leeway

    # The steps, one by one.

    def check_size(self, token: bytes) -> None:
        """Refuse a token over the size, before anything else is done with it.

        Args:
            token: The compact form.

        Raises:
            MalformedTokenError: If it is too large.
        """
        if len(token) > self._limit:
            raise MalformedTokenError(
                Reason.TOKEN_TOO_LARGE, f"the token has {len(token)} bytes, over the {self._limit} accepted"
            )

    def issuer_of(self, unverified_claims: Mapping[str, object]) -> AcceptedIssuer:
        """Choose the issuer whose key must have signed a token; of several, by the unverified ``iss``.

        Args:
            unverified_claims: The payload of the token.

        Returns:
            The issuer.

        Raises:
            ClaimError: If there is no such issuer.
        """
        if self._only is not None:
            return self._only
        unverified_iss = unverified_claims.get("iss")
        accepted = self._by_iss.get(unverified_iss) if type(unverified_iss) is str else None
        if accepted is None:
            raise ClaimError(
                Reason.WRONG_ISSUER,
                f"'iss' is {token_safe(unverified_iss)}, and no such issuer is accepted",
                "iss",
            )
        return accepted

    # The whole way.

    def find_cached(self, token: bytes) -> VerifiedToken | None:
        """Return the cached entry of a token; never more work than a digest of it.

        Args:
            token: The exact bytes of the compact form.
        """
        if self._token_cache is None or len(token) > self._limit:
            return None
        return self._token_cache.find(sha256(token).digest(), self.clock())

    def start(self, token: bytes) -> VerifiedToken | NeedsKey:
        """Verify a token, as far as that goes without waiting.

        Args:
            token: The exact bytes of the compact form.

        Returns:
            The entry, the same object for the same token while it is cached; or what `finish` and `afinish`
            go on with, if the key has to be asked for.

        Raises:
            TokenError: If the token is not good.
        """
        size = len(token)
        if size > self._limit:
            self.check_size(token)
        now = self.clock()
        digest, signed_digest = (sha256(token).digest(), b"") if size <= _LONG else _digests_of(token)
        if self._token_cache is not None and (cached := self._token_cache.find(digest, now)) is not None:
            return cached
        split = Token(token, digest, signed_digest)
        if split.signature == REMOVED_SIGNATURE:
            raise removed_signature()
        known = self._headers.get(split.header)
        header = read_header(split.header) if known is None else known
        accepted = self._only
        if accepted is None:
            unverified_claims = split.read_unverified_claims(BRIEF)
            if unverified_claims is None:
                return self._find_by_key(split, header, now)
            accepted = self.issuer_of(unverified_claims)
        keys = accepted.key_source.keys(now)
        key = None if keys is None else keys.get(header.kid)
        if key is None:
            return _worth_asking(NeedsKey(split, header, now, (accepted,)))
        # With one issuer, only under a header that was signed before: under any other, reading it has cost as
        # much as this look does.
        if (known is not None and len(split.payload) <= BRIEF) or self._only is None:
            expectations = accepted.expectations
            suspect = split.suspect_claims(now - expectations.leeway, expectations.audience_marks)
            if suspect is not None:
                refuse_early(suspect, expectations, now)
        check_signature(split, header, key)
        return self._believe(split, header, accepted, key, now)

    def finish(self, needs: NeedsKey) -> VerifiedToken:
        """Go on with a token whose key has to be asked for.

        Args:
            needs: What `start` returned.

        Returns:
            The entry.

        Raises:
            TokenError: If the token is not good.
            KeysUnavailableError: If that cannot be decided now.
        """
        return run_blocking(self.finishing(needs, BLOCKING))

    async def afinish(self, needs: NeedsKey) -> VerifiedToken:
        """Do as `finish` does, without blocking the event loop.

        Args:
            needs: What `start` returned.

        Returns:
            The entry.

        Raises:
            TokenError: As `finish`.
            KeysUnavailableError: As `finish`.
        """
        return await self.finishing(needs, IN_LOOP)

    async def finishing(self, needs: NeedsKey, waits: Waits) -> VerifiedToken:
        """Ask the issuers one after the other for the key that made the signature; see `finish`.

        Args:
            needs: What `start` returned.
            waits: How to wait.

        Returns:
            The entry.

        Raises:
            TokenError: As `finish`.
            KeysUnavailableError: As `finish`.
        """
        refusal: SignatureError | None = needs.refusal
        unavailable: KeysUnavailableError | None = None
        for accepted in needs.issuers:
            try:
                key = await waits.key(accepted.key_source, needs.header.kid)
                check_signature(needs.token, needs.header, key)
            except SignatureError as error:
                refusal = _further(refusal, error)
            except KeysUnavailableError as error:
                unavailable = error
            else:
                return self._believe(needs.token, needs.header, accepted, key, needs.now)
        # One of those that could not be asked may have signed it: that is not a refusal of the token.
        final = unavailable or refusal
        assert final is not None  # noqa: S101 - there is at least one issuer to ask
        raise final

    def _find_by_key(self, token: Token, header: Header, now: float) -> VerifiedToken | NeedsKey:
        """Find the issuer by the key that made the signature: the payload is too long to be read first."""
        refusal: SignatureError | None = None
        without: list[AcceptedIssuer] = []
        for accepted in self.issuers:
            try:
                accepted.check_algorithm(header)
                key = accepted.key_at_hand(header.kid, now)
                if key is None:
                    without.append(accepted)
                    continue
                check_signature(token, header, key)
            except SignatureError as error:
                refusal = _further(refusal, error)
            else:
                return self._believe(token, header, accepted, key, now)
        unverified_claims = token.read_unverified_claims() if without else None
        if unverified_claims is not None:
            named = self.issuer_of(unverified_claims)
            without = [named] if named in without else []
        if not without:
            assert refusal is not None  # noqa: S101 - every issuer that is not without a key has refused
            raise refusal
        return _worth_asking(NeedsKey(token, header, now, tuple(without), refusal))

    def _believe(
        self, token: Token, header: Header, accepted: AcceptedIssuer, key: VerificationKey, now: float
    ) -> VerifiedToken:
        """Believe the payload now that the signature has held, check its claims, and cache the token."""
        # The tokens of one key share their header to the byte: one under which a signature held is kept,
        # whatever the claims.
        if token.header not in self._headers:
            if len(self._headers) >= _HEADERS_KEPT:
                self._headers.clear()
            self._headers[token.header] = header
        claims = token.read_claims()
        valid_from, expires_at = check_claims(claims, accepted.expectations, accepted.rules, now)
        principal = Principal(MappingProxyType(claims), accepted.issuer)
        verified = VerifiedToken(principal, valid_from, expires_at, accepted.key_source, key)
        if self._token_cache is not None:
            self._token_cache.add(token.digest, verified)
        return verified


def _digests_of(token: bytes) -> tuple[bytes, bytes]:
    """Hash a token, and what is signed of it on the way: a long one is read only once."""
    end = max(token.rfind(b"."), 0)
    running = sha256(token[:end])
    signed_digest = running.digest()
    running.update(token[end:])
    return running.digest(), signed_digest


# With several issuers, the refusal of the one under which a token came furthest says most about it.
_PROGRESS: Final = {
    Reason.ALGORITHM_NOT_ALLOWED: 1,
    Reason.UNKNOWN_KEY: 2,
    Reason.KEY_NOT_FETCHED: 3,
    Reason.BAD_SIGNATURE: 4,
}


def _further(before: SignatureError | None, error: SignatureError) -> SignatureError:
    """Return the refusal of the later step."""
    if before is None or _PROGRESS.get(error.reason, 0) > _PROGRESS.get(before.reason, 0):
        return error
    return before


def _worth_asking(needs: NeedsKey) -> NeedsKey:
    """Let a token cause a fetch only if it would pass with a good signature, as far as can be seen."""
    if len(needs.issuers) == 1:
        (accepted,) = needs.issuers
        accepted.check_algorithm(needs.header)
        unverified_claims = needs.token.read_unverified_claims()
        if unverified_claims is not None:
            accepted.check_claims(unverified_claims, needs.now)
    needs.token.decode_signature()
    return needs
