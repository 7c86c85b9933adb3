"""The verifier: from a token to a principal, or to a reason why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from doorward.errors import (
    ClaimError,
    ConfigurationError,
    MalformedTokenError,
    Reason,
    SignatureError,
    TokenError,
    clip,
)
from doorward.keys.cache import KeyCache
from doorward.keys.key import VerificationKey
from doorward.tokens import jws
from doorward.tokens.audiences import Audience
from doorward.tokens.claims import check_claims, expectations, plainly_good, refuse_unseen
from doorward.tokens.issuers import GOOGLE, Issuer, in_environment
from doorward.tokens.memo import Memo, Verified, digests_of
from doorward.tokens.principal import Principal
from doorward.tokens.source import Source, afind_key, find_key

__all__ = ["Verifier", "Waiting"]

_HEADERS_KEPT: Final = 64
_LONG: Final = 2048
"""Bytes over which a token is worth hashing only once; Google's are shorter."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A token whose key has to be asked for; nothing of it is believed.

    Attributes:
        sources: Whom to ask, in order.
    """

    digest: bytes
    signed: bytes
    now: float
    parts: jws.Parts
    header: jws.Header
    sources: tuple[Source, ...]
    unverified_claims: dict[str, object] | None


class Verifier:
    """Checks ID tokens: spelling, signature, issuer, audience, time, in that order of trust.

    One verifier serves a whole process, from any number of threads and event loops. Its issuers' keys are
    fetched when the first token needs them and kept fresh from then on.
    """

    def __init__(
        self,
        audience: str | Audience | Iterable[str | Audience] | None = None,
        *,
        issuers: Iterable[Issuer] = (GOOGLE,),
        accept_gcloud_user_tokens: bool = False,
        leeway: float = 30.0,
        max_token_bytes: int = jws.MAX_TOKEN_BYTES,
        remember: int = 8192,
        key_cache: Callable[[Issuer], KeyCache] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Configure the checks.

        Args:
            audience: The accepted audience or audiences, compared exactly; usually the URL of the service.
                Left out only where every issuer brings its own.
            issuers: Who may sign. `GOOGLE` is what Cloud Run accepts.
            accept_gcloud_user_tokens: Whether a person may call with what ``gcloud auth
                print-identity-token`` prints, as with Cloud Run. Such a token is made for no service: whoever
                gets hold of one can use it at every service that takes them. For development.
            leeway: Seconds by which clocks may differ, for ``exp``, ``iat`` and ``nbf``; 0 to 300.
            max_token_bytes: Size over which a token is refused unread.
            remember: How many verified tokens are remembered at most; half as many, those last used, are sure
                to be. 0 verifies each one anew.
            key_cache: Makes the key cache of an issuer, to share one or to configure it.
            clock: Wall clock, in seconds since the epoch.

        Raises:
            ConfigurationError: If there is no audience or no issuer, or a bound is out of range.
        """
        if max_token_bytes < 1 or remember < 0:
            raise ConfigurationError(
                "max_token_bytes must be at least 1, and remember at least 0 (which turns it off)"
            )
        make = (
            key_cache
            if key_cache is not None
            else lambda issuer: KeyCache(issuer.key_url, issuer.algorithms, clock=clock)
        )
        given = list(issuers) if isinstance(issuers, Iterable) else [None]
        if not all(isinstance(issuer, Issuer) for issuer in given):
            raise ConfigurationError("issuers must be a list of Issuer: Verifier(..., issuers=[GOOGLE])")
        here = [in_environment(issuer) for issuer in given if issuer is not None]
        expected = expectations(here, audience, leeway, gcloud_users=accept_gcloud_user_tokens)
        self._sources: Final = tuple(Source(one.issuer, make(one.issuer), one) for one in expected)
        spellings = [spelling for issuer in here for spelling in issuer.spellings]
        if not spellings or len(set(spellings)) != len(spellings):
            raise ConfigurationError("issuers must name at least one issuer, and no value of 'iss' twice")
        self._several: Final = len(self._sources) > 1
        self._by_spelling: Final = {
            iss: source for source in self._sources for iss in source.issuer.spellings
        }
        self._limit: Final = max_token_bytes
        self._memo: Final = Memo(remember) if remember else None
        self._headers: Final[dict[bytes, jws.Header]] = {}
        self._clock: Final = clock

    @property
    def key_caches(self) -> tuple[KeyCache, ...]:
        """The key cache of each issuer, for health checks and `KeyCache.warm`."""
        return tuple(source.cache for source in self._sources)

    def now(self) -> float:
        """Give the time that tokens are checked by, in seconds since the epoch."""
        return self._clock()

    def __repr__(self) -> str:
        """Show what is accepted."""
        issuers = ", ".join(source.issuer.name for source in self._sources)
        audiences = " or ".join(dict.fromkeys(str(source.expected.audiences) for source in self._sources))
        gcloud = (
            ", accept_gcloud_user_tokens=True"
            if any(one.expected.gcloud_users for one in self._sources)
            else ""
        )
        return f"Verifier(audience={audiences}, issuers=[{issuers}]{gcloud})"

    def verify(self, token: str | bytes) -> Principal:
        """Say who is calling.

        Args:
            token: The compact JWS, without ``Bearer``.

        Returns:
            The verified principal.

        Raises:
            TokenError: If the token is not good; its ``reason`` says why.
            KeysUnavailableError: If nobody can say now, since the keys are not to be had.
        """
        found = self.look(jws.to_bytes(token))
        return (found if isinstance(found, Verified) else self.ask(found)).principal

    async def averify(self, token: str | bytes) -> Principal:
        """Do as `verify` does, waiting for a fetch without blocking the event loop.

        Args:
            token: The compact JWS, without ``Bearer``.

        Returns:
            The verified principal.

        Raises:
            TokenError: As `verify`.
            KeysUnavailableError: As `verify`.
        """
        found = self.look(jws.to_bytes(token))
        return (found if isinstance(found, Verified) else await self.aask(found)).principal

    def recall(self, token: bytes) -> Verified | None:
        """Give what is remembered of a token; never more work than a digest of it.

        Args:
            token: The exact bytes of the compact form.
        """
        if self._memo is None or len(token) > self._limit:
            return None
        return self._memo.find(sha256(token).digest(), self._clock())

    def look(self, token: bytes) -> Verified | Waiting:
        """Do as `verify` does, as far as that goes without waiting, and give all that is remembered.

        Args:
            token: The exact bytes of the compact form.

        Returns:
            The entry, the same object for the same token while it is remembered; or what `ask` and `aask` go
            on with, if the key has to be asked for.

        Raises:
            TokenError: As `verify`.
        """
        size = len(token)
        if size > self._limit:
            self.bound(token)
        now = self._clock()
        digest, signed = (sha256(token).digest(), b"") if size <= _LONG else digests_of(token)
        if self._memo is not None and (remembered := self._memo.find(digest, now)) is not None:
            return remembered
        parts = jws.split(token)
        signing_input, head, payload, signature = parts
        jws.refuse_removed_signature(signature)
        known = self._headers.get(head)
        header = jws.read_header(head) if known is None else known
        claims: dict[str, object] | None = None
        source = self._sources[0]
        if self._several:
            # What the token says of its issuer, though nobody has checked it, chooses whose key it must have
            # been signed with.
            claims = jws.peek(payload, jws.BRIEF)
            if claims is None:
                signed = signed or sha256(signing_input).digest()
                return self._try_all(digest, signed, now, parts, header)
            source = self.source_of(claims)
        keys = source.cache.keys(now)
        key = None if keys is None else keys.get(header.kid)
        if key is None:
            signed = signed or sha256(signing_input).digest()
            return self._worth_asking(Waiting(digest, signed, now, parts, header, (source,), claims))
        if claims is None and known is not None and len(payload) <= jws.BRIEF:
            # A header that was signed before has cost nothing; one that was not may be a stranger's, who pays
            # for it with this look.
            raw = jws.decode_payload(payload)
            doubtful = jws.doubtful(raw, now - source.expected.leeway, source.expected.audience_marks)
            if doubtful is not None:
                refuse_unseen(doubtful, source.expected, now)
            source.check_signature(header, key, signature, signed or sha256(signing_input).digest())
            claims = jws.read_claims(raw)
        else:
            if claims is not None:
                refuse_unseen(claims, source.expected, now)
            source.check_signature(header, key, signature, signed or sha256(signing_input).digest())
        return self._believe(digest, now, parts, header, source, key, claims)

    def bound(self, token: bytes) -> None:
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

    def source_of(self, unverified_claims: Mapping[str, object]) -> Source:
        """Choose whose key a token must have been signed with, by what it says of itself.

        Args:
            unverified_claims: Its payload.

        Returns:
            The issuer, with its keys.

        Raises:
            ClaimError: If there is no such issuer.
        """
        if len(self._sources) == 1:
            return self._sources[0]
        unverified_iss = unverified_claims.get("iss")
        source = self._by_spelling.get(unverified_iss) if type(unverified_iss) is str else None
        if source is None:
            raise ClaimError(
                Reason.WRONG_ISSUER, f"'iss' is {clip(unverified_iss)}, and no such issuer is accepted", "iss"
            )
        return source

    def _try_all(
        self, digest: bytes, signed: bytes, now: float, parts: jws.Parts, header: jws.Header
    ) -> Verified | Waiting:
        """Find out by its key whose token it is: what it says of that is too much to read."""
        wrong: TokenError | None = None
        without: list[Source] = []
        for source in self._sources:
            key = source.signing_key(header.kid, now)
            if key is None:
                without.append(source)
                continue
            try:
                source.check_signature(header, key, parts[3], signed)
            except SignatureError as error:
                wrong = error
            else:
                return self._believe(digest, now, parts, header, source, key, None)
        if wrong is not None:
            raise wrong
        unverified_claims = jws.peek(parts[2])
        if unverified_claims is not None:
            without = [self.source_of(unverified_claims)]
        return self._worth_asking(
            Waiting(digest, signed, now, parts, header, tuple(without), unverified_claims)
        )

    @staticmethod
    def _worth_asking(waiting: Waiting) -> Waiting:
        """Let a token cause a fetch only if it would pass with a good signature, as far as can be seen."""
        sources, unverified_claims = waiting.sources, waiting.unverified_claims
        if len(sources) == 1:
            sources[0].check_algorithm(waiting.header)
            if unverified_claims is None:
                unverified_claims = jws.peek(waiting.parts[2])
            if unverified_claims is not None:
                check_claims(unverified_claims, sources[0].expected, waiting.now)
        jws.decode_signature(waiting.parts[3])
        return waiting

    def ask(self, waiting: Waiting) -> Verified:
        """Go on with a token whose key has to be asked for.

        Args:
            waiting: What `look` gave.

        Returns:
            The entry.

        Raises:
            TokenError: As `verify`.
            KeysUnavailableError: As `verify`.
        """
        return self._arrived(waiting, *find_key(waiting.sources, waiting.header.kid))

    async def aask(self, waiting: Waiting) -> Verified:
        """Do as `ask` does, without blocking the event loop.

        Args:
            waiting: What `look` gave.

        Returns:
            The entry.

        Raises:
            TokenError: As `verify`.
            KeysUnavailableError: As `verify`.
        """
        return self._arrived(waiting, *await afind_key(waiting.sources, waiting.header.kid))

    def _arrived(self, waiting: Waiting, source: Source, key: VerificationKey) -> Verified:
        """Go on with a token now that its key is there."""
        header, claims = waiting.header, waiting.unverified_claims
        source.check_signature(header, key, waiting.parts[3], waiting.signed)
        return self._believe(waiting.digest, waiting.now, waiting.parts, header, source, key, claims)

    def _believe(  # noqa: PLR0917 - all that is known of the token; it is called for each one
        self,
        digest: bytes,
        now: float,
        parts: jws.Parts,
        header: jws.Header,
        source: Source,
        key: VerificationKey,
        claims: dict[str, object] | None,
    ) -> Verified:
        """Believe what is signed, now that the signature has held, and remember it.

        The payload may have been read before: its bytes, which are what is signed, are still the same.
        """
        # The tokens of one key share their header to the byte: one under which a signature was good is worth
        # keeping, whatever its claims.
        if parts[1] not in self._headers:
            if len(self._headers) >= _HEADERS_KEPT:
                self._headers.clear()
            self._headers[parts[1]] = header
        if claims is None:
            claims = jws.read_payload(parts[2])
        until = plainly_good(claims, source.expected, now)
        if until is None:
            until = check_claims(claims, source.expected, now)
        verified = Verified(Principal(MappingProxyType(claims), source.issuer), until, source.cache, key)
        if self._memo is not None:
            self._memo.add(digest, verified)
        return verified
