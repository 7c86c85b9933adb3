"""The callers of a test, and what the tokens of each kind of issuer say about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from doorward import GOOGLE, ConfigurationError, Issuer, Principal
from doorward.issuers.chat import CHAT_ACCOUNT
from doorward.issuers.google import is_google
from doorward.issuers.iap import IAP
from doorward.issuers.service_accounts import is_service_account
from doorward.strictjson import freeze, thaw
from doorward_integrations.emulator.accounts import Account, numeric_id

__all__ = ["TIMES", "claims_of", "identity_of", "principal", "times_of"]

TIMES: Final = frozenset({"aud", "exp", "iat", "nbf"})
"""What a token says of itself and not of its caller: it is made anew for each token."""

_FIREBASE: Final = "https://securetoken.google.com/"
_HOUR: Final = 3_600
_IAP_LIFETIME: Final = 600


def principal(email: str | None = None, *, issuer: Issuer = GOOGLE, **claims: Any) -> Principal:  # noqa: ANN401 - claims are of any type
    """Make a caller, with the claims that a token of that issuer has.

    A service account or a user of Google's, by the address; a user of Identity-Aware Proxy or of Firebase; or
    a subject of an issuer of your own.

    Args:
        email: The address. It may be left out where ``sub`` is given.
        issuer: Who vouches for the caller: `doorward.GOOGLE`, `doorward.IAP`, ``firebase("project")``, or an
            issuer of your own.
        **claims: Claims to change or to add, such as ``hd="example.com"``; None removes one.

    Returns:
        The principal that a verifier would make of such a token. It is verified by nothing: `as_principal`
        makes a token for it.

    Raises:
        ConfigurationError: If there is neither an address nor a subject, or a claim is one of the token and
            not of its caller.
    """
    if email is None and not claims.get("sub"):
        raise ConfigurationError('principal(...) needs an address or a subject: principal("a@example.com")')
    if wrong := sorted(TIMES & claims.keys()):
        raise ConfigurationError(
            f"principal(...) describes a caller, and {', '.join(wrong)} describe a token: "
            "issuer.token_for(caller, ...) takes them"
        )
    made = identity_of(issuer, email) | claims
    kept = freeze({name: value for name, value in made.items() if value is not None})
    assert isinstance(kept, Mapping)  # noqa: S101 - as `freeze` makes an object
    return Principal(kept, issuer)


def identity_of(issuer: Issuer, email: str | None) -> dict[str, object]:
    """Return the claims by which an issuer identifies a caller.

    Args:
        issuer: The issuer.
        email: The address of the caller, if it has one.

    Returns:
        The claims, ``iss`` among them, and none of `TIMES`.
    """
    iss = issuer.iss_values[0]
    return {"iss": iss} | ({} if email is None else _of_address(issuer, iss, email))


def _of_address(issuer: Issuer, iss: str, email: str) -> dict[str, object]:
    if is_google(issuer):
        return Account(email).claims()
    if iss == CHAT_ACCOUNT:
        return {}
    if is_service_account(iss):  # one that signs its own tokens
        return {"sub": iss}
    unique = numeric_id(email, 21)
    if issuer.iss_values == IAP.iss_values:
        return {"email": email, "sub": f"accounts.google.com:{unique}"}
    claims: dict[str, object] = {"email": email, "email_verified": True, "sub": unique}
    if iss.startswith(_FIREBASE):
        signed_in = {"identities": {"email": [email]}, "sign_in_provider": "password"}
        claims |= {"firebase": signed_in, "user_id": unique}
    return claims


def times_of(issuer: Issuer, issued_at: int) -> dict[str, object]:
    """Return the times of a token, as its issuer makes them.

    Args:
        issuer: The issuer.
        issued_at: Seconds since the epoch.

    Returns:
        The claims iat and exp, and for Firebase auth_time.
    """
    lifetime = _IAP_LIFETIME if issuer.iss_values == IAP.iss_values else min(_HOUR, int(issuer.max_lifetime))
    times: dict[str, object] = {"iat": issued_at, "exp": issued_at + lifetime}
    return times | ({"auth_time": issued_at} if issuer.iss_values[0].startswith(_FIREBASE) else {})


def claims_of(caller: Principal) -> dict[str, object]:
    """Return the claims of a caller as JSON has them, without those of `TIMES`.

    Args:
        caller: The caller.
    """
    return {name: thaw(value) for name, value in caller.claims.items() if name not in TIMES}
