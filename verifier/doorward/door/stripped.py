"""Reading a token whose signature Cloud Run has checked and removed.

Behind Cloud Run's own invoker check the token arrives without a signature
(https://cloud.google.com/run/docs/troubleshooting#signature-removed): whether it was ever good cannot be seen
from it. It was, if the check is on. If the check is off, or anybody may invoke, or the container can be
reached in another way, anybody can write such a token.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Final, Literal

from doorward.door.credentials import RawHeaders, find_credential, why_no_token
from doorward.errors import (
    ConfigurationError,
    CredentialError,
    MalformedTokenError,
    Reason,
    SignatureError,
    clip,
)
from doorward.tokens import jws
from doorward.tokens.audiences import Audience
from doorward.tokens.claims import check_claims, expectations
from doorward.tokens.issuers import GOOGLE, in_environment
from doorward.tokens.principal import Principal

__all__ = ["StrippedPrincipal", "UnsafeStrippedVerifier"]

_log = logging.getLogger("doorward.stripped")


class StrippedPrincipal(Principal):
    """A caller whose signature was checked by Cloud Run, if by anybody; equal to no other `Principal`."""

    __slots__ = ()


class UnsafeStrippedVerifier:
    """Reads the caller out of a token without a signature, where Cloud Run has checked it.

    It is no `Verifier`, and a `Door` refuses it: there is nothing left to decide, the check in front has
    decided. Whoever needs the decision made here takes the check in front away, and uses a `Door`.
    """

    def __init__(
        self,
        audience: str | Audience | Iterable[str | Audience],
        *,
        invoker_check_is_on: Literal[True],
        accept_gcloud_user_tokens: bool = False,
        leeway: float = 30.0,
        max_token_bytes: int = jws.MAX_TOKEN_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Configure the reading, and warn.

        Args:
            audience: As for `Verifier`.
            invoker_check_is_on: Say so: the service requires authentication, its invoker check is not
                disabled, and ``allUsers`` is granted nothing. Nothing here can find that out.
            accept_gcloud_user_tokens: As for `Verifier`.
            leeway: As for `Verifier`.
            max_token_bytes: As for `Verifier`.
            clock: Wall clock, in seconds since the epoch.

        Raises:
            ConfigurationError: If the check is not said to be on, if this is not Cloud Run, or a setting is
                out of range.
        """
        if invoker_check_is_on is not True:
            raise ConfigurationError(
                "without Cloud Run's invoker check in front, anybody can write a token without a signature: "
                "use Verifier, or switch the check on and say so with invoker_check_is_on=True"
            )
        if "K_SERVICE" not in os.environ:
            raise ConfigurationError(
                "this is not Cloud Run (K_SERVICE is not set): nobody has checked any signature. Use Verifier"
            )
        if max_token_bytes < 1:
            raise ConfigurationError("max_token_bytes must be at least 1")
        in_environment(GOOGLE)  # raises where an emulator is named: nobody there would be anybody's check
        (self._expected,) = expectations([GOOGLE], audience, leeway, gcloud_users=accept_gcloud_user_tokens)
        self._limit: Final = max_token_bytes
        self._clock: Final = clock
        message = (
            "signatures of ID tokens are not checked here, only by Cloud Run in front: if its invoker check "
            "is off, or allUsers may invoke, callers are whoever they say they are"
        )
        _log.warning(message)
        warnings.warn(message, UserWarning, stacklevel=2)

    def __repr__(self) -> str:
        """Show what is accepted."""
        return f"UnsafeStrippedVerifier(audience={self._expected.audiences})"

    def caller(self, headers: RawHeaders) -> StrippedPrincipal:
        """Say who is calling: out of the one header that Cloud Run has checked.

        Where ``X-Serverless-Authorization`` is there, Cloud Run lets ``Authorization`` through unread.

        Args:
            headers: All headers of the request, names in lower case.

        Returns:
            The caller.

        Raises:
            CredentialError: If the headers hold no credential, or not exactly one.
            TokenError: As `verify`.
        """
        found = find_credential(headers)
        if found is None:
            raise CredentialError(
                Reason.NO_CREDENTIAL, "the request carries no credential: the invoker check was not made"
            )
        _, token = found
        if (error := why_no_token(token)) is not None:
            raise error
        return self.verify(token)

    def verify(self, token: str | bytes) -> StrippedPrincipal:
        """Say whom a token names, if it is one that Cloud Run has checked.

        Args:
            token: The compact form, out of the header that Cloud Run has checked; see `caller`.

        Returns:
            The caller.

        Raises:
            TokenError: If its third segment is anything but Cloud Run's mark, or its claims do not hold.
        """
        raw = jws.to_bytes(token)
        if len(raw) > self._limit:
            raise MalformedTokenError(
                Reason.TOKEN_TOO_LARGE, f"the token has {len(raw)} bytes, over the {self._limit} accepted"
            )
        _, head, payload, signature = jws.split(raw)
        if signature != jws.REMOVED_SIGNATURE:
            raise SignatureError(
                Reason.BAD_SIGNATURE,
                "the signature was not removed, so Cloud Run has not checked this token: the request came by "
                "another way, or the token stands in the header that was not checked",
            )
        alg = jws.read_header(head).alg
        issuer = self._expected.issuer
        if alg not in issuer.algorithms:
            raise SignatureError(
                Reason.ALGORITHM_NOT_ALLOWED,
                f"the header names {clip(alg)}; {issuer.name} signs with {', '.join(issuer.algorithms)}",
            )
        claims = jws.read_payload(payload)
        check_claims(claims, self._expected, self._clock())
        return StrippedPrincipal(MappingProxyType(claims), issuer)
