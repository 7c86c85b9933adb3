"""Reading a token whose signature Cloud Run has checked and removed.

Behind Cloud Run's own invoker check the token arrives without a signature
(https://cloud.google.com/run/docs/troubleshooting#signature-removed): whether it was ever good cannot be seen
from it. It was, if the check is on. If the check is off, or everyone may invoke, or the container can be
reached in another way, such a token can be written by any sender.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, Final, Literal

from doorward.audiences.audience import Audience
from doorward.door.credentials import (
    Credential,
    FindCredential,
    RawHeaders,
    explain_no_token,
    find_credential,
)
from doorward.errors import ConfigurationError, CredentialError, Reason, SignatureError
from doorward.issuers.google import GOOGLE, in_environment
from doorward.keys.fixed import NO_KEYS
from doorward.tokens import jws
from doorward.tokens.accepted_issuer import AcceptedIssuer
from doorward.tokens.engine import Engine, NeedsKey
from doorward.tokens.expectations import expectations_of
from doorward.tokens.principal import Principal
from doorward.tokens.token_cache import VerifiedToken
from doorward.tokens.verifier import Verifier, engine_of

__all__ = ["StrippedPrincipal", "UnsafeStrippedVerifier", "read_stripped"]

_log = logging.getLogger("doorward.stripped")
_WARNING: Final = (
    "signatures of ID tokens are not checked here, only by Cloud Run in front: if its invoker check "
    "is off, or allUsers may invoke, a caller can claim to be any account"
)
_MARKED: Final = b"." + jws.REMOVED_SIGNATURE
_NO_KEY: Final[Any] = None
_DECIDING: Final = frozenset(find_credential.names)


class StrippedPrincipal(Principal):
    """A caller whose signature only Cloud Run has checked; equal to no other `Principal`."""

    __slots__ = ()


class UnsafeStrippedVerifier:
    """Reads the caller from a token without a signature, where Cloud Run has checked it.

    It is no `Verifier`, and a `Door` refuses it: there is nothing left to decide, the check in front has
    decided. To have the decision made here, turn the check in front off and use a `Door`.

    Args:
        audience: As for `Verifier`.
        invoker_check_is_on: Confirms that the service requires authentication, its invoker check is not
            disabled, and ``allUsers`` is granted nothing. Nothing here can find that out.
        accept_gcloud_tokens: As for `Verifier`.
        leeway: As for `Verifier`.
        max_token_bytes: As for `Verifier`.
        clock: Wall clock, in seconds since the epoch.

    Raises:
        ConfigurationError: If the check is not confirmed to be on, if this is not Cloud Run, or a
            setting is out of range.
    """

    def __init__(
        self,
        audience: str | Audience | Iterable[str | Audience],
        *,
        invoker_check_is_on: Literal[True],
        accept_gcloud_tokens: bool = False,
        leeway: float = 30.0,
        max_token_bytes: int = jws.MAX_TOKEN_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Configure the reading, and warn; see the class."""
        _check_confirmed(invoker_check_is_on, "invoker_check_is_on")
        if not _on_cloud_run():
            raise ConfigurationError(
                "this is not Cloud Run (K_SERVICE is not set): no signature has been checked. Use Verifier"
            )
        if max_token_bytes < 1:
            raise ConfigurationError("max_token_bytes must be at least 1")
        in_environment(GOOGLE)  # raises where an emulator is named: its tokens were checked by no one
        (expectations,) = expectations_of([GOOGLE], audience, leeway, gcloud_tokens=accept_gcloud_tokens)
        self._engine: Final = Engine(
            (AcceptedIssuer(expectations, NO_KEYS),),
            max_token_bytes=max_token_bytes,
            token_cache=None,
            clock=clock,
        )
        _log.warning(_WARNING)
        warnings.warn(_WARNING, UserWarning, stacklevel=2)

    def __repr__(self) -> str:
        """Show what is accepted."""
        (accepted,) = self._engine.issuers
        return f"UnsafeStrippedVerifier(audience={accepted.expectations.audiences})"

    def verify_headers(self, headers: RawHeaders) -> StrippedPrincipal:
        """Read the caller from the one header that Cloud Run has checked.

        Where ``X-Serverless-Authorization`` is there, Cloud Run passes ``Authorization`` on unread.

        Args:
            headers: All headers of the request, names in lower case.

        Returns:
            The caller.

        Raises:
            CredentialError: If the headers hold no credential, or not exactly one, or two that bear the mark.
            TokenError: As `verify`.
        """
        found = _find_checked(headers)
        if found is None:
            raise CredentialError(
                Reason.NO_CREDENTIAL, "the request carries no credential: the invoker check was not made"
            )
        _, token = found
        if (error := explain_no_token(token)) is not None:
            raise error
        return self.verify(token)

    def verify(self, token: str | bytes) -> StrippedPrincipal:
        """Read the caller that a token names, if it is a token that Cloud Run has checked.

        Args:
            token: The compact form, from the header that Cloud Run has checked; see `verify_headers`.

        Returns:
            The caller.

        Raises:
            TokenError: If its third segment is anything but Cloud Run's mark, or its claims do not hold.
        """
        (accepted,) = self._engine.issuers
        return _read(jws.to_bytes(token), self._engine, accepted)


def _find_checked(headers: RawHeaders) -> Credential | None:
    """Find the credential of a request as `find_credential` does, where Cloud Run has marked one.

    Cloud Run marks the one token that it has checked. Of two marked ones the sender wrote one, perhaps in
    ``X_Serverless_Authorization``, which Cloud Run does not read and some servers take for the real name.

    Args:
        headers: All headers of the request, names in lower case.

    Returns:
        As `find_credential`.

    Raises:
        CredentialError: As `find_credential`, and if both headers bear the mark.
    """
    marked = [name for name, value in headers if name in _DECIDING and _MARKED in value]
    if len(marked) > 1:
        raise CredentialError(
            Reason.MULTIPLE_CREDENTIALS, "two tokens bear the mark of Cloud Run, which marks only one"
        )
    return find_credential(headers)


def read_stripped(
    verifier: Verifier, find: FindCredential, invoker_check_is_on: object
) -> tuple[FindCredential, Callable[[bytes], VerifiedToken | NeedsKey]]:
    """Return what finds and starts to verify a token, for a door that may stand behind Cloud Run's own check.

    On Cloud Run a token that carries its mark is read as `UnsafeStrippedVerifier` reads it; everywhere else,
    and without the mark, the verifier verifies it.

    Args:
        verifier: The verifier of the door.
        find: Finds the credential of a request.
        invoker_check_is_on: As for `UnsafeStrippedVerifier`.

    Returns:
        What takes the places of `find` and of `Engine.start`.

    Raises:
        ConfigurationError: If the check is not confirmed to be on, or Cloud Run would not check these tokens.
    """
    _check_confirmed(invoker_check_is_on, "unsafe_invoker_check_is_on")
    engine = engine_of(verifier)
    # A mark in a header that Cloud Run does not read was made by the sender.
    if find is not find_credential:
        raise ConfigurationError(
            "unsafe_invoker_check_is_on: Cloud Run checks X-Serverless-Authorization and Authorization only; "
            "leave credential as it is"
        )
    accepted = next((one for one in engine.issuers if one.issuer.iss_values == GOOGLE.iss_values), None)
    if accepted is None:
        raise ConfigurationError(
            "unsafe_invoker_check_is_on: Cloud Run checks Google's tokens only, and the verifier accepts none"
        )
    if not _on_cloud_run():
        return find, engine.start
    _log.warning(_WARNING)
    warnings.warn(_WARNING, UserWarning, stacklevel=3)  # at the line that makes the door

    def start(token: bytes) -> VerifiedToken | NeedsKey:
        if not token.endswith(_MARKED):
            return engine.start(token)
        principal = _read(token, engine, accepted)
        # It is in no cache, so that neither its times nor a key are asked for.
        return VerifiedToken(principal, 0.0, 0.0, NO_KEYS, _NO_KEY)

    return _find_checked, start


def _check_confirmed(confirmed: object, setting: str) -> None:
    if confirmed is not True:
        raise ConfigurationError(
            "without Cloud Run's invoker check, any sender can write a token without a signature: "
            f"use Verifier, or switch the check on and confirm it with {setting}=True"
        )


def _on_cloud_run() -> bool:
    return "K_SERVICE" in os.environ


def _read(raw: bytes, engine: Engine, accepted: AcceptedIssuer) -> StrippedPrincipal:
    engine.check_size(raw)
    split = jws.split(raw)
    if split.signature != jws.REMOVED_SIGNATURE:
        raise SignatureError(
            Reason.BAD_SIGNATURE,
            "the signature was not removed, so Cloud Run has not checked this token: the request came by "
            "another way, or the token stands in the header that was not checked",
        )
    accepted.check_algorithm(jws.read_header(split.header))
    claims = split.read_claims()
    accepted.check_claims(claims, engine.clock())
    return StrippedPrincipal(MappingProxyType(claims), accepted.issuer)
