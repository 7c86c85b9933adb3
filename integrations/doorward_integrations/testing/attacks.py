"""Hostile tokens and requests, one by one: what each is, and what to mend in an application that admits it.

Each carries no good credential, or one beside a bad one, so that every guarded application must refuse it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Final

from doorward_integrations.testing.header_attacks import BY_HEADERS
from doorward_integrations.testing.issuer import WRONG_AUDIENCE
from doorward_integrations.testing.keys import b64, segment
from doorward_integrations.testing.material import OUTSIDER, Material, Recipe
from doorward_integrations.testing.unsigned import REMOVED, unsigned, without_signature

__all__ = ["ATTACKS"]

_ELSEWHERE: Final = "https://keys.attacker.invalid/jwks.json"
_LONG: Final = 40_000  # bytes of a claim: no issuer's tokens come near


def _hmac_with_public_key(made: Material) -> str:
    signed = f"{segment(made.head(alg='HS256'))}.{segment(made.claims())}"
    return f"{signed}.{b64(hmac.digest(made.key.pem, signed.encode(), hashlib.sha256))}"


def _other_payload(made: Material) -> str:
    """Return a good token of another caller, in which the payload was exchanged for that of this one."""
    header, _, signature = made.outsiders().split(".")
    return f"{header}.{segment(made.claims())}.{signature}"


def _duplicates(made: Material) -> str:
    """Name this caller first, and then another one, whom RFC 7519, section 4, has a parser read."""
    other = {"email": OUTSIDER, "sub": "1" * 21, "azp": "1" * 21}
    both = json.dumps(made.claims())[:-1] + ", " + json.dumps(other)[1:]
    return made.key.sign(made.head(), both.encode())


_VERIFY: Final = (
    "Verify the signature with a key that the issuer publishes, before anything in the token is believed."
)
_FIXED: Final = (
    "Take the algorithms from your own list, such as RS256, and never from the token: "
    'jwt.decode(..., algorithms=["RS256"]).'
)
_OWN_KEYS: Final = (
    "Take keys from the issuer's own key URL alone: jwk, jku, x5u and x5c in a token mean nothing."
)
_ADDRESS: Final = "Believe an e-mail only if email_verified is true itself, and compare it whole."
_TIMES: Final = "Require exp, iat and, where it is there, nbf, and compare them with the clock."
_AUDIENCE: Final = (
    "Compare the audience with the URL of this service: a token that was made for another service is "
    'accepted here, and that service could use it. Set audience= of the decoder: Verifier("https://...").'
)
_BOUND: Final = "Bound the length of a token before it is read, such as by 16 KiB."

ATTACKS: Final = (
    *BY_HEADERS,
    Recipe("empty-credential", "A scheme without a token.", "Refuse an empty token.", lambda _: ""),
    Recipe("garbage", "What is no token.", _VERIFY, lambda _: "not.a.token"),
    Recipe(
        "access-token",
        "An OAuth access token, which says for no service who calls.",
        "Accept ID tokens only.",
        lambda _: "ya29." + "A" * 60,
    ),
    Recipe("alg-none", "An unsigned token: alg is none.", _FIXED, lambda made: unsigned(made, "none")),
    Recipe("alg-none-case", "An unsigned token: alg is nOnE.", _FIXED, lambda made: unsigned(made, "nOnE")),
    Recipe(
        "hs256-public-key",
        "A token whose HMAC was made with the public key of the issuer, which everyone can read.",
        _FIXED,
        _hmac_with_public_key,
    ),
    Recipe(
        "wrong-key",
        "A token that another key has signed, under the id of the right key.",
        _VERIFY,
        lambda made: made.forged,
    ),
    Recipe(
        "unknown-key",
        "A token that names a key that the issuer does not publish.",
        _VERIFY,
        lambda made: made.by_forger(),
    ),
    Recipe(
        "no-key-id",
        "A token of another key that names none.",
        _VERIFY,
        lambda made: made.by_forger({"kid": None}),
    ),
    Recipe(
        "no-signature",
        "A good token without its signature.",
        _VERIFY,
        lambda made: without_signature(made, ""),
    ),
    Recipe(
        "removed-signature",
        "A good token whose signature Cloud Run has removed, as logs of services have it.",
        _VERIFY,
        lambda made: without_signature(made, REMOVED),
    ),
    Recipe(
        "changed-payload",
        "A token of another caller, with this caller written into it.",
        _VERIFY,
        _other_payload,
    ),
    Recipe(
        "embedded-jwk",
        "A token that brings its own key in the header.",
        _OWN_KEYS,
        lambda made: made.by_forger({"jwk": made.forger.jwk()}),
    ),
    Recipe(
        "jku",
        "A token that says from which URL its key comes.",
        _OWN_KEYS,
        lambda made: made.by_forger({"jku": _ELSEWHERE}),
    ),
    Recipe(
        "x5u",
        "A token that says from which URL its certificate comes.",
        _OWN_KEYS,
        lambda made: made.by_forger({"x5u": _ELSEWHERE}),
    ),
    Recipe(
        "unknown-crit",
        "A token with a critical extension that no library knows (RFC 7515, section 4.1.11).",
        "Refuse a token that has crit.",
        lambda made: made.signed({"crit": ["example"], "example": True}),
    ),
    Recipe(
        "wrong-issuer",
        "A token that names another issuer.",
        "Compare iss with the issuer whose keys you use.",
        lambda made: made.signed(iss="https://issuer.example"),
    ),
    Recipe(
        "wrong-audience",
        "A good token for another service.",
        _AUDIENCE,
        lambda made: made.signed(aud=WRONG_AUDIENCE),
    ),
    Recipe("no-audience", "A token for no service.", _AUDIENCE, lambda made: made.signed(aud=None)),
    Recipe(
        "expired",
        "A token that expired hours ago.",
        _TIMES,
        lambda made: made.signed(iat=made.at(-14_400), exp=made.at(-10_800)),
    ),
    Recipe("no-expiry", "A token that never expires.", _TIMES, lambda made: made.signed(exp=None)),
    Recipe(
        "not-yet-valid",
        "A token that is valid hours from now only.",
        _TIMES,
        lambda made: made.signed(iat=made.at(10_800), nbf=made.at(10_800), exp=made.at(14_000)),
    ),
    Recipe("too-long", "A signed token of 50 KB.", _BOUND, lambda made: made.signed(filler="a" * _LONG)),
    Recipe(
        "duplicate-claims",
        "A token whose JSON names this caller, and after that another one in the same members.",
        "Refuse JSON with duplicate members.",
        _duplicates,
        identity=True,
    ),
    Recipe(
        "email-not-verified",
        "A token whose issuer does not vouch for the address.",
        _ADDRESS,
        lambda made: made.signed(email_verified=False),
        identity=True,
    ),
    Recipe(
        "email-verified-missing",
        "A token that does not say whether the address was verified.",
        _ADDRESS,
        lambda made: made.signed(email_verified=None),
        identity=True,
    ),
    Recipe(
        "email-verified-text",
        'A token that says it with the text "true".',
        _ADDRESS,
        lambda made: made.signed(email_verified="true"),
        identity=True,
    ),
    Recipe(
        "longer-email",
        "A good token of an address that begins with the caller's.",
        _ADDRESS,
        lambda made: made.signed(email=f"{made.email}.attacker.example", sub="1" * 21),
        identity=True,
    ),
)
"""All of them; their ids are unique."""
