"""The verifier: from a token to a principal, or to the reason why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, overload

from doorward.audiences.audience import Audience
from doorward.errors import ConfigurationError
from doorward.issuers.google import GOOGLE, in_environment
from doorward.issuers.issuer import Issuer
from doorward.keys.cache import KeyCache
from doorward.keys.source import KeySource
from doorward.tokens.accepted_issuer import AcceptedIssuer
from doorward.tokens.engine import Engine, NeedsKey
from doorward.tokens.expectations import expectations_of
from doorward.tokens.jws import MAX_TOKEN_BYTES, to_bytes
from doorward.tokens.principal import Principal
from doorward.tokens.token_cache import TokenCache

__all__ = ["Verifier", "engine_of"]


class Verifier:
    """Verifies ID tokens: size, form, signature, issuer, audience and times.

    One verifier serves a whole process, from any number of threads and event loops. The keys of its issuers
    are fetched when the first token needs them and kept fresh from then on.

    Args:
        audience: The accepted audience or audiences, compared exactly; usually the URL of the service.
            Left out only where every issuer brings its own.
        issuers: The accepted issuers. `GOOGLE` is what Cloud Run accepts.
        accept_gcloud_tokens: Whether to accept what ``gcloud auth print-identity-token`` prints, for a person
            or a service account, as Cloud Run does. Such a token is made for no service: at every service
            that accepts them, a stolen one can be used. For development.
        leeway: Seconds by which clocks may differ, for ``exp``, ``iat`` and ``nbf``; 0 to 300.
        max_token_bytes: Size over which a token is refused before it is split.
        token_cache_size: How many verified tokens are cached at most; the half that was used last is kept for
            sure. 0 verifies each one anew.
        token_cache: Keeps the verified tokens, to share one bound among several verifiers: a
            `doorward.tokens.token_cache.TokenCache.part` of it for each. Then `token_cache_size` is left out.
        key_cache: Makes the key cache of an issuer, to share one or to configure it; or another
            `KeySource`, such as `FixedKeys`.
        clock: Wall clock, in seconds since the epoch.
        environ: The environment, which may name an emulator; the process's own by default.

    Raises:
        ConfigurationError: If there is no audience or no issuer, or a bound is out of range.

    Example:
        ``principal = Verifier("https://orders-1234567890.europe-west1.run.app").verify(token)``
    """

    def verify(self, token: str | bytes) -> Principal:
        """Verify a token.

        Args:
            token: The compact JWS, without ``Bearer``.

        Returns:
            The verified principal.

        Raises:
            TokenError: If the token is not good; its ``reason`` says why.
            KeysUnavailableError: If that cannot be decided now, since the keys cannot be fetched.
        """
        found = self._engine.start(to_bytes(token))
        return (self._engine.finish(found) if isinstance(found, NeedsKey) else found).principal

    async def averify(self, token: str | bytes) -> Principal:
        """Verify a token, waiting for a fetch without blocking the event loop.

        Args:
            token: The compact JWS, without ``Bearer``.

        Returns:
            The verified principal.

        Raises:
            TokenError: As `verify`.
            KeysUnavailableError: As `verify`.
        """
        found = self._engine.start(to_bytes(token))
        return (await self._engine.afinish(found) if isinstance(found, NeedsKey) else found).principal

    @property
    def key_caches(self) -> tuple[KeyCache, ...]:
        """The key caches of the issuers, for health checks; key sources of another kind are left out."""
        return tuple(source for source in self._key_sources() if isinstance(source, KeyCache))

    def warm(self) -> None:
        """Have usable keys of every issuer before the first request comes.

        Raises:
            KeysUnavailableError: If an issuer has none.
        """
        for source in self._key_sources():
            source.warm()

    async def awarm(self) -> None:
        """Do as `warm` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `warm`.
        """
        for source in self._key_sources():
            await source.awarm()

    @overload
    def __init__(
        self,
        audience: str | Audience | Iterable[str | Audience],
        *,
        issuers: Iterable[Issuer] = ...,
        accept_gcloud_tokens: bool = ...,
        leeway: float = ...,
        max_token_bytes: int = ...,
        token_cache_size: int = ...,
        token_cache: TokenCache | None = ...,
        key_cache: Callable[[Issuer], KeySource] | None = ...,
        clock: Callable[[], float] = ...,
        environ: Mapping[str, str] | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self,
        audience: str | Audience | Iterable[str | Audience] | None = None,
        *,
        issuers: Iterable[Issuer],
        accept_gcloud_tokens: bool = ...,
        leeway: float = ...,
        max_token_bytes: int = ...,
        token_cache_size: int = ...,
        token_cache: TokenCache | None = ...,
        key_cache: Callable[[Issuer], KeySource] | None = ...,
        clock: Callable[[], float] = ...,
        environ: Mapping[str, str] | None = ...,
    ) -> None: ...

    def __init__(
        self,
        audience: str | Audience | Iterable[str | Audience] | None = None,
        *,
        issuers: Iterable[Issuer] = (GOOGLE,),
        accept_gcloud_tokens: bool = False,
        leeway: float = 30.0,
        max_token_bytes: int = MAX_TOKEN_BYTES,
        token_cache_size: int = 8192,
        token_cache: TokenCache | None = None,
        key_cache: Callable[[Issuer], KeySource] | None = None,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Configure the checks; see the class."""
        if max_token_bytes < 1 or token_cache_size < 0:
            raise ConfigurationError(
                "max_token_bytes must be at least 1, and token_cache_size at least 0 (which turns it off)"
            )
        given = list(issuers) if isinstance(issuers, Iterable) else [None]
        if not all(isinstance(issuer, Issuer) for issuer in given):
            raise ConfigurationError("issuers must be a list of Issuer: Verifier(..., issuers=[GOOGLE])")
        here = [in_environment(issuer, environ) for issuer in given if issuer is not None]
        iss_values = [iss for issuer in here for iss in issuer.iss_values]
        expectations = expectations_of(here, audience, leeway, gcloud_tokens=accept_gcloud_tokens)
        if not iss_values or len(set(iss_values)) != len(iss_values):
            raise ConfigurationError("issuers must name at least one issuer, and no value of 'iss' twice")
        if token_cache is None and token_cache_size:
            token_cache = TokenCache(token_cache_size)
        self._engine: Final = Engine(
            tuple(AcceptedIssuer(one, _key_source(one.issuer, key_cache, clock)) for one in expectations),
            max_token_bytes=max_token_bytes,
            token_cache=token_cache,
            clock=clock,
        )

    def __repr__(self) -> str:
        """Show what is accepted."""
        expectations = [accepted.expectations for accepted in self._engine.issuers]
        issuers = ", ".join(one.issuer.name for one in expectations)
        audiences = " or ".join(dict.fromkeys(str(one.audiences) for one in expectations))
        gcloud = ", accept_gcloud_tokens=True" if any(one.gcloud_tokens for one in expectations) else ""
        return f"Verifier(audience={audiences}, issuers=[{issuers}]{gcloud})"

    def _key_sources(self) -> tuple[KeySource, ...]:
        return tuple(accepted.key_source for accepted in self._engine.issuers)


def _key_source(
    issuer: Issuer, key_cache: Callable[[Issuer], KeySource] | None, clock: Callable[[], float]
) -> KeySource:
    if key_cache is None:
        return KeyCache(issuer.key_url, issuer.algorithms, clock=clock)
    source = key_cache(issuer)
    if not isinstance(source, KeySource):
        raise ConfigurationError(
            f"key_cache must return a KeyCache or another KeySource, not {type(source).__name__}"
        )
    return source


def engine_of(verifier: Verifier) -> Engine:
    """Return the engine behind a verifier, for the door and for explanations.

    Args:
        verifier: The verifier.
    """
    return verifier._engine  # noqa: SLF001 - the same module; an application calls `Verifier.verify`
