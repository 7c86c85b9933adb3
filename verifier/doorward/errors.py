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
    │   └── UnavailableError                503: it cannot be decided now; never a 401
    │       ├── KeysUnavailableError        the keys of an issuer cannot be fetched
    │       └── PolicyUnavailableError      the policy cannot be read, or its groups cannot be looked up
    └── FetchError                          the key endpoint gave no usable answer

"Bad token", "may not" and "cannot know now" never mix: each has a branch and a status of its own, which the
`Reason` says. The sentence in an error is for the operator's log. No error holds a token, nor more than 16
characters of one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

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
]


class Reason(StrEnum):
    """Why a request was refused: a stable code for logs, metrics and tests.

    Each member is the only place that says what its reason means for the answer and for the operator.

    Attributes:
        status: The HTTP status of the answer: 401, 403 or 503.
        advice: What to do about it, as one sentence for the operator; the caller never sees it.
    """

    status: int
    advice: str

    def __new__(cls, code: str, status: int, advice: str) -> Self:
        """Make a member of its code, its status and its advice."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.advice = advice
        return member

    # The headers. No credential is a 403, as Cloud Run answers it, and not the 401 of RFC 9110.
    NO_CREDENTIAL = ("no_credential", 403, "Send the header 'Authorization: Bearer ID_TOKEN'.")
    MULTIPLE_HEADERS = (
        "multiple_headers",
        401,
        "Send one credential header. A proxy on the way may have added its own.",
    )
    MULTIPLE_CREDENTIALS = ("multiple_credentials", 401, "Send one token in the header.")
    UNSUPPORTED_SCHEME = (
        "unsupported_scheme",
        401,
        (
            "Use the scheme Bearer. The application's own credential can stay in Authorization if the ID "
            "token comes in X-Serverless-Authorization."
        ),
    )
    EMPTY_CREDENTIAL = (
        "empty_credential",
        401,
        "The variable that should hold the token is probably empty.",
    )
    ACCESS_TOKEN = (
        "access_token",
        401,
        "Get an ID token: by google.oauth2.id_token.fetch_id_token, or gcloud auth print-identity-token.",
    )
    # The token of an end user, which a service passes on beside its own.
    NO_END_USER = (
        "no_end_user",
        401,
        "Pass on the user's own ID token, from a caller that end_user_callers names.",
    )
    BAD_END_USER = (
        "bad_end_user",
        401,
        "Look at the token of the user, which may have expired, and not at that of the calling service.",
    )
    # The path, where no decision about it is possible.
    UNREADABLE_PATH = (
        "unreadable_path",
        403,
        "Look at the client, or the proxy in front: the path holds bytes that are not Unicode text.",
    )
    # The form of the token.
    TOKEN_TOO_LARGE = (
        "token_too_large",
        401,
        "Raise max_token_bytes if tokens of that size are intended.",
    )
    MALFORMED = (
        "malformed",
        401,
        "Look at how the token got here: quotes, a line break, a cut-off end.",
    )
    HEADER_NOT_ALLOWED = (
        "header_not_allowed",
        401,
        "This is not a token of Google's: its own never hold that parameter.",
    )
    KID_MISSING = (
        "kid_missing",
        401,
        "This is not a token of Google's: its own always name their key.",
    )
    SIGNATURE_REMOVED = (
        "signature_removed",
        401,
        (
            "Cloud Run has checked this token already. Turn one of the two checks off, or take the token "
            "where it is issued, and not from the log of a service."
        ),
    )
    # The signature.
    ALGORITHM_NOT_ALLOWED = (
        "algorithm_not_allowed",
        401,
        "Google signs with RS256. Perhaps the token is of another issuer, which must be configured.",
    )
    UNKNOWN_KEY = (
        "unknown_key",
        401,
        "The token is old, or of another issuer; a restarted emulator has new keys.",
    )
    KEY_NOT_FETCHED = (
        "key_not_fetched",
        401,
        (
            "Too many tokens name unknown key ids, so the key endpoint was not asked for this one. Look for "
            "their sender; a caller with a new key succeeds some seconds later."
        ),
    )
    BAD_SIGNATURE = (
        "bad_signature",
        401,
        "The token was changed on its way, or is a forgery.",
    )
    # The claims.
    CLAIM_MISSING = ("claim_missing", 401, "Ask for a whole ID token: format=full, or includeEmail.")
    CLAIM_INVALID = ("claim_invalid", 401, "The claim has not the form that its issuer gives it.")
    WRONG_ISSUER = ("wrong_issuer", 401, "Configure that issuer, if it is meant to be accepted.")
    WRONG_AUDIENCE = (
        "wrong_audience",
        401,
        (
            "Ask for a token with an accepted audience, or accept the one that was sent: the URL of the "
            "service, not its custom domain."
        ),
    )
    EXPIRED = ("expired", 401, "Get a new token: they live for one hour.")
    NOT_YET_VALID = ("not_yet_valid", 401, "Compare the clocks of both machines.")
    LIFETIME_TOO_LONG = (
        "lifetime_too_long",
        401,
        "Google's tokens live for one hour; an issuer of your own has max_lifetime.",
    )
    # The policy, and what could not be found out.
    PERMISSION_DENIED = (
        "permission_denied",
        403,
        "Grant roles/run.invoker to the caller, and give doorward the new policy.",
    )
    ROUTE_NARROWED = (
        "route_narrowed",
        403,
        "The caller may invoke the service, and not this route: see the only(...) that stands at it.",
    )
    KEYS_UNAVAILABLE = (
        "keys_unavailable",
        503,
        "Look at the connection to the key endpoint. Whether the token is good is not known.",
    )
    POLICY_UNAVAILABLE = (
        "policy_unavailable",
        503,
        "Look at the policy file, or at the directory of group members. Who may invoke is not known.",
    )

    __str__ = str.__str__


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
