"""The errors that doorward raises, as one tree, and the reasons for refusals.

::

    DoorwardError
    ├── ConfigurationError (ValueError)     how it was built is wrong; raised by constructors
    │   └── PolicyError                     an IAM policy that cannot be understood
    ├── RefusedError                        a request that is refused; carries a Reason
    │   ├── CredentialError                 401 or 403: the headers hold no usable credential
    │   ├── TokenError                      401: this token is not good
    │   │   ├── MalformedTokenError         it is not one compact JWS in its one accepted encoding
    │   │   ├── SignatureError              its algorithm, key or signature does not hold
    │   │   └── ClaimError                  a claim is missing, wrong or out of time
    │   ├── PermissionDeniedError           403: a good token whose principal may not invoke
    │   ├── UnknownServiceError             404: no service of this door has that host and path
    │   └── UnavailableError                503: it cannot be decided now; never a 401
    │       ├── KeysUnavailableError        the keys of an issuer cannot be fetched
    │       └── PolicyUnavailableError      the policy cannot be read, or its groups cannot be looked up
    └── FetchError                          the key endpoint gave no usable answer

"Bad token", "may not" and "cannot know now" never mix: each has a branch and a status of its own, which the
`Reason` says. The sentence in an error is for the operator's log. No error holds a token, nor more than 16
characters of one.
"""

from __future__ import annotations

from typing import ClassVar, Self

from doorward.reasons import Reason

__all__ = [
    "ClaimError",
    "ConfigurationError",
    "CredentialError",
    "DoorwardError",
    "FetchError",
    "KeysUnavailableError",
    "MalformedTokenError",
    "PermissionDeniedError",
    "PolicyError",
    "PolicyUnavailableError",
    "Reason",
    "RefusedError",
    "SignatureError",
    "TokenError",
    "UnavailableError",
    "UnknownServiceError",
]


class DoorwardError(Exception):
    """The root: everything that doorward raises on purpose."""


class ConfigurationError(DoorwardError, ValueError):
    """A setting that cannot work; the sentence says how to mend it. Raised by constructors."""


class PolicyError(ConfigurationError):
    """An IAM policy that is not understood: it is refused whole, never read in part."""


class RefusedError(DoorwardError):
    """A request that is refused.

    Attributes:
        reason: The stable code.
        claim: The claim that was at fault, where one was.
        message: A sentence for the operator's log.
    """

    def __init__(self, reason: Reason, message: str, claim: str | None = None) -> None:
        """Make the error from its data.

        Args:
            reason: The stable code.
            message: A sentence for the log; holds no token.
            claim: The name of the claim at fault, if one is.
        """
        super().__init__(reason, message, claim)
        self.reason = reason
        self.message = message
        self.claim = claim

    def __str__(self) -> str:
        """Give the code and the sentence."""
        return f"{self.reason}: {self.message}"


class CredentialError(RefusedError):
    """The headers hold no credential, more than one, or one that is not a bearer ID token."""


class TokenError(RefusedError):
    """The token is not good: answered with 401."""


class MalformedTokenError(TokenError):
    """The token is not exactly one compact JWS in its one accepted encoding (RFC 7515, section 7.1)."""


class SignatureError(TokenError):
    """The algorithm, the key or the signature of the token does not hold."""


class ClaimError(TokenError):
    """A claim is missing, of the wrong type, not what is accepted, or out of its time."""


class PermissionDeniedError(RefusedError):
    """A good token whose principal may not do this: answered with 403."""

    def __init__(self, message: str, reason: Reason = Reason.PERMISSION_DENIED) -> None:
        """Make the error.

        Args:
            message: A sentence for the log.
            reason: ``permission_denied``, or ``route_narrowed``.
        """
        super().__init__(reason, message)

    def __reduce__(self) -> tuple[type[PermissionDeniedError], tuple[str, Reason]]:
        """Pickle as its two arguments."""
        return type(self), (self.message, self.reason)


class UnknownServiceError(RefusedError):
    """No service has the host and the path of the request: answered with 404."""

    def __init__(self, message: str) -> None:
        """Make the error.

        Args:
            message: A sentence for the log.
        """
        super().__init__(Reason.UNKNOWN_SERVICE, message)

    def __reduce__(self) -> tuple[type[UnknownServiceError], tuple[str]]:
        """Pickle as its one argument."""
        return type(self), (self.message,)


class UnavailableError(RefusedError):
    """It cannot be decided now: answered with 503, never with 401 or 403. One of its two branches is raised.

    Attributes:
        retry_after: Seconds after which asking again makes sense.
    """

    _REASON: ClassVar[Reason]

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        """Make the error; its class says the reason.

        Args:
            message: A sentence for the log.
            retry_after: Seconds after which asking again makes sense.
        """
        super().__init__(self._REASON, message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[Self], tuple[str, float]]:
        """Pickle as its two arguments."""
        return type(self), (self.message, self.retry_after)


class KeysUnavailableError(UnavailableError):
    """The keys that decide cannot be fetched now; its reason is ``keys_unavailable``."""

    _REASON = Reason.KEYS_UNAVAILABLE


class PolicyUnavailableError(UnavailableError):
    """The policy cannot be read, or its groups not looked up; its reason is ``policy_unavailable``."""

    _REASON = Reason.POLICY_UNAVAILABLE


class FetchError(DoorwardError):
    """The key endpoint gave no usable answer.

    Attributes:
        stage: Where it failed: ``setup`` (a proxy or certificate setting), ``dns``, ``connect``, ``tls``,
            ``send``, ``read``, ``deadline``, ``status``, ``size``, ``content``, ``thread`` where no thread
            could be started to fetch, or ``shared`` where another process has fetched and failed.
        message: A sentence for the log.
        retry_after: Seconds the endpoint asked to be left alone for (RFC 9110, section 10.2.3), or None.
    """

    def __init__(self, stage: str, message: str, retry_after: float | None = None) -> None:
        """Make the error from its data.

        Args:
            stage: Where the fetch failed.
            message: A sentence for the log.
            retry_after: Seconds the endpoint asked to be left alone for, if it did.
        """
        super().__init__(stage, message, retry_after)
        self.stage = stage
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Give the stage and the sentence."""
        return f"{self.stage}: {self.message}"
