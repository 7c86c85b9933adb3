"""The reasons for refusals: one entry for each, with its status and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

__all__ = ["Reason"]


class Reason(StrEnum):
    """Why a request was refused: a stable code for logs, metrics and tests.

    Each member is the only place that says what its reason means for the answer and for the operator.

    Attributes:
        status: The HTTP status of the answer: 401, 403, 404 or 503.
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
    # The host or path, where one door stands in front of many services.
    UNKNOWN_SERVICE = (
        "unknown_service",
        404,
        "Compare host and path of the request with those under which the services were put.",
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
