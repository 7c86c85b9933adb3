"""The verifier: from a token to a principal, or to a reason why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from doorward.errors import ClaimError, ConfigurationError, MalformedTokenError, Reason, clip
from doorward.keys.cache import KeyCache
from doorward.keys.key import VerificationKey
from doorward.tokens import jws
from doorward.tokens.audiences import Audience
from doorward.tokens.claims import check_claims, expectations
from doorward.tokens.issuers import GOOGLE, Issuer, in_environment
from doorward.tokens.memo import Memo, Verified, digest_of
from doorward.tokens.principal import Principal
from doorward.tokens.source import Source

__all__ = ["Verifier"]

_HEADERS_KEPT: Final = 64


@dataclass(slots=True)
class _Candidate:
    """A token on its way: cut up, and not believed."""

    token: bytes
    digest: bytes
    now: float
    segments: jws.Segments
    header: jws.Header
    source: Source
    key: VerificationKey | None
    unverified_claims: Mapping[str, object] | None


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
            remember: How many verified tokens are remembered; 0 verifies each one anew.
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
        return self.check(jws.to_bytes(token)).principal

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
        return (await self.acheck(jws.to_bytes(token))).principal

    def check(self, token: bytes) -> Verified:
        """Do as `verify` does, and give all that is remembered of the token.

        Args:
            token: The exact bytes of the compact form.

        Returns:
            The entry; the same object for the same token while it is remembered.

        Raises:
            TokenError: As `verify`.
            KeysUnavailableError: As `verify`.
        """
        found = self._look(token)
        if isinstance(found, Verified):
            return found
        key = found.key
        if key is None:
            key = self._worth_asking(found).get(found.header.kid)
        return self._conclude(found, key)

    async def acheck(self, token: bytes) -> Verified:
        """Do as `check` does, waiting for a fetch without blocking the event loop.

        Args:
            token: The exact bytes of the compact form.

        Returns:
            The entry.

        Raises:
            TokenError: As `verify`.
            KeysUnavailableError: As `verify`.
        """
        found = self._look(token)
        if isinstance(found, Verified):
            return found
        key = found.key
        if key is None:
            key = await self._worth_asking(found).aget(found.header.kid)
        return self._conclude(found, key)

    def _look(self, token: bytes) -> Verified | _Candidate:
        """Do all that takes no waiting, before the signature."""
        self.bound(token)
        now = self._clock()
        digest = digest_of(token)
        if self._memo is not None and (remembered := self._memo.find(digest, now)) is not None:
            return remembered
        segments = jws.split(token)
        jws.refuse_removed_signature(segments)
        header = self._headers.get(segments.header) or jws.read_header(segments.header)
        # One issuer: its key decides, and the payload is read only once the signature held. Several: what the
        # token says of its issuer chooses whose key it must have been signed with.
        source, unverified_claims = self._sources[0], None
        if len(self._sources) > 1:
            unverified_claims = jws.read_payload(segments.payload)
            source = self.source_of(unverified_claims)
        source.check_algorithm(header)
        keys = source.cache.keys(now)
        key = keys.get(header.kid) if keys is not None else None
        return _Candidate(token, digest, now, segments, header, source, key, unverified_claims)

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

    def _worth_asking(self, candidate: _Candidate) -> KeyCache:
        """Let only a token that would pass with a good signature cause a fetch."""
        unverified_claims = candidate.unverified_claims = _payload(candidate)
        check_claims(unverified_claims, candidate.source.expected, candidate.now)
        jws.decode(candidate.segments.signature)
        return candidate.source.cache

    def _conclude(self, candidate: _Candidate, key: VerificationKey) -> Verified:
        """Check the signature, and only then believe what is signed."""
        segments, header, source = candidate.segments, candidate.header, candidate.source
        source.check_signature(candidate.token, segments, header, key)
        claims = _payload(candidate)
        until = check_claims(claims, source.expected, candidate.now)
        verified = Verified(Principal(claims, source.issuer), until, source.cache, key)
        if self._memo is not None:
            self._memo.add(candidate.digest, verified)
            # The tokens of one key share their header to the byte: one that led to a good signature is worth
            # keeping.
            if len(self._headers) >= _HEADERS_KEPT:
                self._headers.clear()
            self._headers[segments.header] = header
        return verified


def _payload(candidate: _Candidate) -> Mapping[str, object]:
    """Read the payload, once: the bytes are the same before and after the signature is checked."""
    if candidate.unverified_claims is not None:
        return candidate.unverified_claims
    return jws.read_payload(candidate.segments.payload)
