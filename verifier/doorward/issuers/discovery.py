"""An OpenID Connect issuer of your own, found by its address alone.

From OpenID Connect Discovery 1.0, sections 4 and 4.3. The document is fetched once, when the issuer is made:
what it says about keys, algorithms and its own name is then fixed for as long as the process lives.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from doorward.errors import ConfigurationError
from doorward.issuers.google import emulator_in_environment
from doorward.issuers.issuer import Issuer
from doorward.keys.fetch import Fetch, HttpxFetch
from doorward.keys.http.urls import check_key_url, shown_url
from doorward.keys.key import ALGORITHMS, check_algorithms
from doorward.shown import quoted
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["discover"]

_log = logging.getLogger("doorward.issuers")

_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_EMULATED: Final = "/doorward/v1/oidc/"
"""Where an emulator has the documents of the issuers that it stands in for, by their whole identifiers."""


def discover(
    issuer: str,
    *,
    algorithms: tuple[str, ...] | None = None,
    audience_lists: bool = False,
    max_lifetime: float = 3_600.0,
    name: str | None = None,
    fetch: Fetch | None = None,
) -> Issuer:
    """Fetch the configuration of an issuer, and make an `Issuer` of it.

    Where ``DOORWARD_EMULATOR_HOST`` names an emulator, that stands in for every issuer whose identifier is
    ``https``: its tokens are then verified with keys of the emulator. One on this machine is asked itself.

    Args:
        issuer: Its identifier, exactly as its tokens have it in ``iss``: ``https``, or ``http`` to loopback.
        algorithms: What it may sign with; by default those that it names among ``RS256`` and ``ES256``.
        audience_lists: Whether ``aud`` may be an array.
        max_lifetime: Seconds that its tokens may live, at most 24 h.
        name: Its name in logs; its identifier by default.
        fetch: How to fetch; over httpx by default, with its bounds on time and size.

    Returns:
        The issuer.

    Raises:
        ConfigurationError: If the identifier, or what it leads to, cannot be used, or the variable cannot.
        FetchError: If the document cannot be fetched.
    """
    if not isinstance(issuer, str) or "?" in issuer:
        raise ConfigurationError(f"{issuer!r} is not the identifier of an issuer; write https://HOST/PATH")
    check_key_url(issuer)
    emulator = emulator_in_environment() if urlsplit(issuer).scheme == "https" else None
    url = _well_known(issuer, emulator)
    document = _ask(url, issuer, fetch if fetch is not None else HttpxFetch())
    jwks_uri = _check_keys(url, issuer, document.get("jwks_uri"), emulator)
    return Issuer(
        name=issuer if name is None else name,
        iss_values=(issuer,),
        key_url=jwks_uri,
        algorithms=_algorithms(url, document.get("id_token_signing_alg_values_supported"), algorithms),
        max_lifetime=max_lifetime,
        audience_lists=audience_lists,
    )


def _well_known(issuer: str, emulator: str | None) -> str:
    """Return where the configuration of an issuer is: at the emulator, if one stands in for it."""
    if emulator is None:
        return issuer.removesuffix("/") + _WELL_KNOWN
    _log.warning("the emulator at %s stands in for the issuer %s", emulator, issuer)
    return f"http://{emulator}{_EMULATED}{quote(issuer, safe='')}{_WELL_KNOWN}"


def _check_keys(url: str, issuer: str, jwks_uri: object, emulator: str | None) -> str:
    """Check that the keys of an issuer are at an address that may be believed."""
    if not isinstance(jwks_uri, str):
        raise ConfigurationError(f"{url} names no 'jwks_uri'")
    if emulator is not None:
        if not jwks_uri.startswith(f"http://{emulator}/"):
            raise ConfigurationError(f"{url} names keys that are not the emulator's")
    elif urlsplit(issuer).scheme == "https" and urlsplit(jwks_uri).scheme != "https":
        raise ConfigurationError(f"{url} names keys at {quoted(shown_url(jwks_uri))}, which is not https")
    return jwks_uri


def _ask(url: str, issuer: str, fetch: Fetch) -> Mapping[str, object]:
    """Fetch the configuration of an issuer, and make sure that it is its own."""
    answer = fetch(url, {})
    try:
        document = read_object(answer.body or b"")
    except StrictJSONError as error:
        raise ConfigurationError(f"{url} is not usable JSON: {error}") from None
    # Section 4.3: exactly what was asked for, or another issuer could speak in its name.
    if (found := document.get("issuer")) != issuer:
        stated = quoted(found) if isinstance(found, str) else "missing, or no text"
        raise ConfigurationError(f"{url} is about another issuer: its 'issuer' is {stated}, not {issuer!r}")
    return document


def _algorithms(url: str, supported: object, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """Choose the algorithms that both sides have, in the order of preference of this one."""
    if not isinstance(supported, tuple) or not all(isinstance(one, str) for one in supported):
        raise ConfigurationError(f"{url} does not say what it signs with")
    if wanted is not None:
        check_algorithms(wanted)
    common = tuple(one for one in (ALGORITHMS if wanted is None else wanted) if one in supported)
    if not common:
        raise ConfigurationError(
            f"{url} signs with {', '.join(map(repr, supported))}; "
            f"{' and '.join(ALGORITHMS if wanted is None else wanted)} would do"
        )
    return common
