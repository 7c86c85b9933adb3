"""The end user behind a calling service: a second token, verified by rules of its own.

A service proves itself in ``X-Serverless-Authorization`` and passes on the ID token of its user in
``Authorization``, or in a header that is named
(https://cloud.google.com/run/docs/authenticating/end-users). The user is believed only where the caller is
one that the door was given by name: any other caller could pass on a token that it got hold of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypedDict

from doorward.door.admission import Admission, AdmissionForUser
from doorward.door.credentials import (
    AUTHORIZATION,
    PLATFORM_ASSERTIONS,
    SERVERLESS_AUTHORIZATION,
    CredentialHeaders,
    FindCredential,
    RawHeaders,
    explain_no_token,
)
from doorward.door.forwarding import without_signature
from doorward.errors import ConfigurationError, CredentialError, KeysUnavailableError, Reason, RefusedError
from doorward.keys.waiting import Waits
from doorward.policy.membership.members import ALL_AUTHENTICATED_USERS
from doorward.policy.named import NamedCallers
from doorward.tokens.engine import NeedsKey
from doorward.tokens.principal import ANONYMOUS, Principal
from doorward.tokens.verifier import Verifier, engine_of

__all__ = ["EndUserSettings", "EndUsers", "read_end_users"]

_IN_AUTHORIZATION: Final = CredentialHeaders(AUTHORIZATION)
"""Where the token of the end user is, unless another header is named."""


class EndUserSettings(TypedDict, total=False):
    """What a door may be given of end users; `Door` says what each of them means."""

    end_user: Verifier | None
    end_user_callers: Iterable[str]
    end_user_credential: CredentialHeaders
    end_user_required: bool


def read_end_users(find_caller: FindCredential, settings: EndUserSettings) -> EndUsers | None:
    """Read what a door was given of end users.

    Args:
        find_caller: Finds the credential of the caller.
        settings: The settings.

    Returns:
        What verifies end users; None if the door was given no verifier for them.

    Raises:
        ConfigurationError: If something is missing or cannot work.
        TypeError: If a setting is not known.
    """
    if unknown := sorted(settings.keys() - EndUserSettings.__annotations__.keys()):
        raise TypeError(f"Door() got an unexpected keyword argument {unknown[0]!r}")
    verifier = settings.get("end_user")
    if verifier is None:
        if settings.keys() - {"end_user"}:
            raise ConfigurationError(
                f"{', '.join(sorted(settings.keys() - {'end_user'}))}: they need end_user"
            )
        return None
    if not isinstance(verifier, Verifier):
        raise ConfigurationError(f"end_user must be a Verifier, not {type(verifier).__name__}")
    callers = _read_callers(settings.get("end_user_callers"))
    credential = settings.get("end_user_credential", _IN_AUTHORIZATION)
    _check_credential(credential, find_caller)
    required = settings.get("end_user_required", False)
    return EndUsers(verifier, callers, credential, find_caller, required=required)


def _read_callers(callers: object) -> NamedCallers:
    given = tuple(callers) if isinstance(callers, Iterable) and not isinstance(callers, str) else ()
    if not given or ALL_AUTHENTICATED_USERS in given:
        raise ConfigurationError(
            "end_user needs end_user_callers, the members of IAM whose word on the user is taken: "
            'end_user_callers=["serviceAccount:web@my-project.iam.gserviceaccount.com"]'
        )
    return NamedCallers(given, "end_user_callers")


def _check_credential(credential: object, find_caller: FindCredential) -> None:
    # Not one of a kind of its own, such as that of subprotocols: of those the door hands on other headers.
    if type(credential) is not CredentialHeaders or len(credential.names) != 1:
        raise ConfigurationError(
            'end_user_credential must name one header: CredentialHeaders(b"x-user-token", scheme=False)'
        )
    (header,) = credential.names
    deciding = (
        find_caller.names[0] if isinstance(find_caller, CredentialHeaders) else SERVERLESS_AUTHORIZATION
    )
    if header == deciding or header in PLATFORM_ASSERTIONS:
        raise ConfigurationError(
            f"end_user_credential: {header.decode()} holds the caller's own credential, or a platform's word"
        )


class EndUsers:
    """Verifies the end user of a request whose caller was admitted.

    Attributes:
        header: The header of their token. Nothing in it reaches the application but what was verified here.
    """

    __slots__ = ("_callers", "_engine", "_find", "_find_caller", "_required", "header")

    def __init__(
        self,
        verifier: Verifier,
        callers: NamedCallers,
        credential: CredentialHeaders,
        find_caller: FindCredential,
        *,
        required: bool,
    ) -> None:
        """Take settings that were checked before; see `read_end_users`."""
        self._engine: Final = engine_of(verifier)
        self._callers: Final = callers
        self._find: Final = credential
        self._find_caller: Final = find_caller
        self._required: Final = required
        self.header: Final = credential.names[0]

    async def add_to(self, admission: Admission, headers: RawHeaders, waits: Waits) -> Admission:
        """Add the end user to the admission of a caller.

        Args:
            admission: The admission.
            headers: All headers of the request.
            waits: How to wait for a key.

        Returns:
            The admission with the end user, or without one where the request has none.

        Raises:
            RefusedError: If the token of the end user is bad, or required and missing; or if it cannot be
                verified now.
        """
        caller = admission.principal
        own = None if caller is ANONYMOUS else self._header_of_caller(headers)
        if own == self.header:  # the caller's own credential is there, and was verified as such
            return self._without(admission)
        user = await self._verify(headers, waits) if own is not None and self._callers(caller) else None
        if user is None:
            return self._without(self.withhold(admission))
        passed = admission.headers
        position = next((index for index, (name, _) in enumerate(passed) if name == self.header), None)
        if position is not None:  # else it looked as if its check had been made, and was left out
            passed = without_signature(passed, position)
        return AdmissionForUser(caller, passed, admission.decision, user)

    def withhold(self, admission: Admission) -> Admission:
        """Remove what was not verified: the header of the end user from an admission.

        Args:
            admission: The admission, whose caller need not be verified either.
        """
        passed = [pair for pair in admission.headers if pair[0] != self.header]
        return Admission(admission.principal, passed, admission.decision)

    def _header_of_caller(self, headers: RawHeaders) -> bytes | None:
        found = self._find_caller(headers)
        return None if found is None else headers[found[0]][0]

    def _without(self, admission: Admission) -> Admission:
        if self._required:
            raise CredentialError(
                Reason.NO_END_USER,
                f"{admission.principal} passed on no token of an end user that is believed",
            )
        return admission

    async def _verify(self, headers: RawHeaders, waits: Waits) -> Principal | None:
        token = b""
        try:
            credential = self._find(headers)
            if credential is None:
                return None
            _, token = credential
            found = self._engine.start(token)
            if isinstance(found, NeedsKey):
                found = await self._engine.finishing(found, waits)
        except KeysUnavailableError as error:
            raise KeysUnavailableError(f"of the end user: {error.message}", error.retry_after) from None
        except RefusedError as error:
            why = explain_no_token(token) or error
            raise CredentialError(
                Reason.BAD_END_USER, f"the token of the end user: {why}", why.claim
            ) from None
        return found.principal
