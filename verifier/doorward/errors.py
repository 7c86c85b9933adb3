"""What can go wrong, as one tree.

::

    DoorwardError
    ├── ConfigurationError (ValueError)     how it was built is wrong; raised by constructors
    │   └── PolicyError                     an IAM policy that cannot be understood
    ├── RefusedError                        a request that is not let through; carries a Reason
    │   ├── CredentialError                 401 or 403: the headers hold no usable credential
    │   ├── TokenError                      401: this token is not good
    │   │   ├── MalformedTokenError         it is not one strictly spelled JWS
    │   │   ├── SignatureError              its algorithm, key or signature does not hold
    │   │   └── ClaimError                  a claim is missing, wrong or out of time
    │   ├── PermissionDeniedError           403: a good token whose principal may not invoke
    │   └── KeysUnavailableError            503: nobody can say now; never a 401
    └── FetchError                          the key endpoint gave no usable answer

"Bad token", "may not" and "cannot know now" never mix: each has a branch and a status of its own. The
sentence in an error is for the operator's log. No error holds a token, nor more than 16 characters of one.
"""

from __future__ import annotations

from enum import StrEnum

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
    "Reason",
    "RefusedError",
    "SignatureError",
    "TokenError",
    "clip",
]

_CLIP = 16
_PLAIN_INTEGER = 10**15


class Reason(StrEnum):
    """Why a request was refused: stable codes for logs, metrics and tests."""

    # The headers.
    NO_CREDENTIAL = "no_credential"
    MULTIPLE_HEADERS = "multiple_headers"
    MULTIPLE_CREDENTIALS = "multiple_credentials"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    EMPTY_CREDENTIAL = "empty_credential"
    ACCESS_TOKEN = "access_token"  # noqa: S105 - a reason code, not a secret
    # The shape of the token.
    TOKEN_TOO_LARGE = "token_too_large"  # noqa: S105 - a reason code, not a secret
    MALFORMED = "malformed"
    HEADER_NOT_ALLOWED = "header_not_allowed"
    KID_MISSING = "kid_missing"
    SIGNATURE_REMOVED = "signature_removed"
    # The signature.
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    # The claims.
    CLAIM_MISSING = "claim_missing"
    CLAIM_INVALID = "claim_invalid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    # The policy, and what could not be found out.
    PERMISSION_DENIED = "permission_denied"
    KEYS_UNAVAILABLE = "keys_unavailable"

    __str__ = str.__str__


def clip(text: object) -> str:
    """Quote something a caller sent, short enough that no error repeats a usable part of a token.

    Args:
        text: Anything. Text is quoted as ``repr`` does, so that control characters do no harm in a log; of
            what is nested, or a number of any length, only the type is told.

    Returns:
        At most 16 characters of it in quotes, with an ellipsis where some were left out.
    """
    plain = isinstance(text, str | float | bool | None) or (
        isinstance(text, int) and abs(text) < _PLAIN_INTEGER
    )
    whole = str(text) if plain else type(text).__name__
    return repr(whole) if len(whole) <= _CLIP else f"{whole[:_CLIP]!r}…"


class DoorwardError(Exception):
    """The root: everything that doorward raises on purpose."""


class ConfigurationError(DoorwardError, ValueError):
    """What was passed to a constructor cannot work; the sentence says how to mend it."""


class PolicyError(ConfigurationError):
    """An IAM policy that cannot be understood, or not yet: it is refused whole, never half read."""


class RefusedError(DoorwardError):
    """A request that is not let through.

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
    """The token is not exactly one strictly spelled compact JWS (RFC 7515, section 7.1)."""


class SignatureError(TokenError):
    """The algorithm, the key or the signature of the token does not hold."""


class ClaimError(TokenError):
    """A claim is missing, of the wrong type, not what is accepted, or out of its time."""


class PermissionDeniedError(RefusedError):
    """A good token whose principal does not hold the permission: answered with 403."""

    def __init__(self, message: str) -> None:
        """Make the error; its reason is always ``permission_denied``.

        Args:
            message: A sentence for the log.
        """
        super().__init__(Reason.PERMISSION_DENIED, message)

    def __reduce__(self) -> tuple[type[PermissionDeniedError], tuple[str]]:
        """Pickle as its one argument."""
        return type(self), (self.message,)


class KeysUnavailableError(RefusedError):
    """The keys that could decide are not to be had now: answered with 503, never with 401.

    Attributes:
        retry_after: Seconds after which asking again makes sense.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        """Make the error; its reason is always ``keys_unavailable``.

        Args:
            message: A sentence for the log.
            retry_after: Seconds after which asking again makes sense.
        """
        super().__init__(Reason.KEYS_UNAVAILABLE, message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[KeysUnavailableError], tuple[str, float]]:
        """Pickle as its two arguments."""
        return type(self), (self.message, self.retry_after)


class FetchError(DoorwardError):
    """The key endpoint gave no usable answer.

    Attributes:
        stage: Where it failed: ``dns``, ``connect``, ``tls``, ``send``, ``read``, ``deadline``, ``status``,
            ``size``, ``content``, or ``thread`` where none could be started to fetch.
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
