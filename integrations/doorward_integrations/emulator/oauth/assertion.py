"""The JWT by which a service account asks for a token: signed with the key of its key file.

The rules are those of https://developers.google.com/identity/protocols/oauth2/service-account#httprest and
RFC 7523, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from doorward.base64url import decode
from doorward.errors import MalformedTokenError, Reason, TokenError
from doorward.issuers.claim_rule import numeric_date
from doorward.strictjson import read_object
from doorward.tokens.accepted_issuer import check_signature
from doorward.tokens.jws import MAX_TOKEN_BYTES, Header, Token, read_header, split
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.google_errors import OAuthError
from doorward_integrations.emulator.keys.public_key import PublicKey

__all__ = ["GOOGLE_TOKEN_URLS", "Assertion", "read_assertion"]

GOOGLE_TOKEN_URLS: Final = (
    "https://oauth2.googleapis.com/token",
    "https://www.googleapis.com/oauth2/v4/token",
    "https://accounts.google.com/o/oauth2/token",
)
"""The token endpoints of Google. Clients claim the first as ``aud``, wherever ``token_uri`` points."""

_LONGEST_LIFE: Final = 3_600
_LEEWAY: Final = 30
_LONGEST_TARGET: Final = 2_048


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a service account asks for.

    Attributes:
        account: The account.
        target_audience: The audience of the ID token that it wants; None for an access token.
        scopes: The scopes of the access token that it wants.
    """

    account: Account
    target_audience: str | None
    scopes: tuple[str, ...]


def read_assertion(
    text: str,
    *,
    find: Callable[[str], Account | None],
    keys_of: Callable[[str], tuple[PublicKey, ...]],
    token_url: str,
    now: float,
) -> Assertion:
    """Verify an assertion, and read what it asks for.

    Args:
        text: The assertion, a compact JWS.
        find: Returns the account of an address; None if there is none.
        keys_of: Returns the keys of an account, by its address.
        token_url: The URL of this token endpoint.
        now: Seconds since the epoch.

    Returns:
        What it asks for.

    Raises:
        OAuthError: ``invalid_grant``, ``invalid_scope`` or ``unauthorized_client``.
    """
    if len(text) > MAX_TOKEN_BYTES:
        raise _invalid(f"Invalid JWT: it is larger than {MAX_TOKEN_BYTES} bytes")
    try:
        token = split(text)
        header, kid = _read_header(token)
        account = find(_issuer_of(token))
        if account is None or not account.is_service_account:
            raise _invalid("Invalid grant: account not found")
        _check_signature(token, header, kid, keys_of(account.email))
        claims = token.read_claims()
        _check_age(claims, now)
    except TokenError as error:
        raise _invalid(f"Invalid JWT: {error}") from None
    _check_audience(claims, token_url)
    if claims.get("sub", claims.get("iss")) != claims.get("iss"):
        # Delegation of a domain (https://support.google.com/a/answer/162106): there is no domain here.
        raise OAuthError(
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized "
            "for any of the scopes requested: 'sub' is another account than 'iss'.",
        )
    return _wanted(account, claims)


def _read_header(token: Token) -> tuple[Header, str | None]:
    """Read the header; Google's client for Node names no key."""
    try:
        header = read_header(token.header)
    except MalformedTokenError as error:
        if error.reason is not Reason.KID_MISSING:
            raise
        members = read_object(decode(token.header))  # which has been found to be good
        if "kid" in members:
            raise
        return Header(str(members["alg"]), ""), None
    return header, header.kid


def _issuer_of(token: Token) -> str:
    """Return who the assertion says that it is of: what is not verified yet finds the keys, and no more."""
    issuer = token.read_claims().get("iss")
    if not isinstance(issuer, str):
        raise _invalid("Invalid JWT: 'iss' must be the address of the service account")
    return issuer


def _check_signature(token: Token, header: Header, kid: str | None, keys: tuple[PublicKey, ...]) -> None:
    for key in keys:
        if kid is None or kid == key.kid:
            try:
                check_signature(token, header, key.verification)
            except TokenError as error:
                if error.reason is not Reason.BAD_SIGNATURE:
                    raise
            else:
                return
    raise _invalid("Invalid JWT Signature.")


def _check_age(claims: Mapping[str, object], now: float) -> None:
    issued, expires = numeric_date(claims, "iat"), numeric_date(claims, "exp")
    if not (
        issued - _LEEWAY <= now < expires + _LEEWAY
        and issued < expires <= issued + _LONGEST_LIFE
        and ("nbf" not in claims or numeric_date(claims, "nbf") - _LEEWAY <= now)
    ):
        raise _invalid(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
            "Check your iat and exp values in the JWT claim."
        )


def _check_audience(claims: Mapping[str, object], token_url: str) -> None:
    if claims.get("aud") not in (*GOOGLE_TOKEN_URLS, token_url):
        raise _invalid(
            f"Invalid JWT: Failed audience check. The right audience is {GOOGLE_TOKEN_URLS[0]}, or "
            f"{token_url}"
        )


def _wanted(account: Account, claims: Mapping[str, object]) -> Assertion:
    # Google's client for Node sends both where a client with scopes asks for an ID token.
    audience, scope = claims.get("target_audience"), claims.get("scope", "")
    if not isinstance(scope, str) or not (audience is None or isinstance(audience, str)):
        raise OAuthError("invalid_scope", "'scope' and 'target_audience' must be texts.")
    scopes = tuple(filter(None, scope.split(" ")))
    wanted = bool(scopes) if audience is None else 0 < len(audience) <= _LONGEST_TARGET
    if not wanted:
        raise OAuthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return Assertion(account, audience, scopes)


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_grant", description)
