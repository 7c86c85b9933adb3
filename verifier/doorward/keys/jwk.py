"""JSON Web Keys, read with suspicion, and the immutable set of them that one answer of an endpoint makes.

PyJWT turns a JWK into a key of ``cryptography`` and binds it to its algorithm; what may become a key at all
is decided here. A set that shows a private or symmetric member was published by mistake and is refused whole;
a single key that this issuer cannot sign with is left out, and the rest stays usable (RFC 7517, section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from doorward.errors import FetchError, clip
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["ALGORITHMS", "KeySet", "RefusedKey", "VerificationKey", "parse_key_set"]

ALGORITHMS: Final = MappingProxyType({"RS256": "RSA", "ES256": "EC"})
"""The algorithms that exist here, and the key type each needs (RFC 7518, section 3.1).

No ``none`` and no HMAC: what is not in the code cannot be reached by a crafted header.
"""

# RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1: members that only a private or a symmetric key has.
_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_RSA_BITS: Final = range(2048, 8193)  # under it: weak (RFC 7518, section 3.3); over it: a way to burn our CPU
_RSA_EXPONENT: Final = range(65537, 2**32)  # FIPS 186-5, appendix A.1.1, from below; again our CPU from above
_KID_LENGTH: Final = 256
_KEYS: Final = 256
_P256_BYTES: Final = 32

_PKCS1V15: Final = padding.PKCS1v15()
_SHA256: Final = SHA256()
_ECDSA_SHA256: Final = ec.ECDSA(_SHA256)


def _rs256(key: rsa.RSAPublicKey) -> Callable[[bytes, bytes], None]:
    verify = key.verify

    def check(signature: bytes, signing_input: bytes) -> None:
        verify(signature, signing_input, _PKCS1V15, _SHA256)

    return check


def _es256(key: ec.EllipticCurvePublicKey) -> Callable[[bytes, bytes], None]:
    verify = key.verify

    def check(signature: bytes, signing_input: bytes) -> None:
        # RFC 7518, section 3.4: R and S as 32 bytes each, not the DER that OpenSSL wants.
        if len(signature) != 2 * _P256_BYTES:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:_P256_BYTES]), int.from_bytes(signature[_P256_BYTES:])
        verify(encode_dss_signature(r, s), signing_input, _ECDSA_SHA256)

    return check


class VerificationKey:
    """A public key bound to one algorithm and one key id.

    Attributes:
        kid: The key id, as the issuer publishes it.
        alg: The one algorithm that this key verifies.
    """

    __slots__ = ("_check", "_identity", "alg", "kid")

    def __init__(self, kid: str, alg: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> None:
        """Bind a key.

        Args:
            kid: The key id.
            alg: ``RS256`` for an RSA key, ``ES256`` for a P-256 key.
            key: The public key.
        """
        self.kid: Final = kid
        self.alg: Final = alg
        self._identity: Final = (kid, alg, key.public_numbers())
        self._check: Final = _rs256(key) if isinstance(key, rsa.RSAPublicKey) else _es256(key)

    def verify(self, signature: bytes, signing_input: bytes) -> bool:
        """Tell whether this key made that signature.

        Args:
            signature: The raw signature bytes (RFC 7518, sections 3.3 and 3.4).
            signing_input: The two first segments with their dot, as ASCII bytes (RFC 7515, section 5.2).

        Returns:
            True only if the signature holds.
        """
        try:
            self._check(signature, signing_input)
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        """Compare key id, algorithm and public numbers."""
        return self._identity == other._identity if isinstance(other, VerificationKey) else NotImplemented

    def __hash__(self) -> int:
        """Hash as compared."""
        return hash(self._identity)

    def __repr__(self) -> str:
        """Show what it is; a public key holds no secret, but its numbers say nothing to a reader."""
        return f"VerificationKey(kid={self.kid!r}, alg={self.alg!r})"


class RefusedKey(NamedTuple):
    """A published key that is not used.

    Attributes:
        kid: Its key id, if it had one.
        why: What is wrong with it, as a sentence for the log.
    """

    kid: str | None
    why: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """One answer of a key endpoint: immutable, looked up by key id.

    Attributes:
        keys: The usable keys by key id, read-only.
        refused: The published keys that are not used, and why.
    """

    keys: Mapping[str, VerificationKey]
    refused: tuple[RefusedKey, ...] = ()

    def keeping(self, older: KeySet) -> KeySet:
        """Take over the key objects of an older set where the published key is the same.

        Whatever hangs on the identity of a key (a remembered token) then lives exactly as long as that key is
        published.

        Args:
            older: The set that this one replaces.

        Returns:
            A set equal to this one; the older set itself if nothing changed at all.
        """
        if self == older:
            return older
        known = older.keys
        kept = {kid: known[kid] if known.get(kid) == key else key for kid, key in self.keys.items()}
        return KeySet(MappingProxyType(kept), self.refused)


def _public_key(jwk: Mapping[str, object], alg: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | str:
    """Read one JWK; a string says why it is not usable."""
    try:
        # The algorithm is forced: what the JWK says of it was compared before, and never chooses.
        # Only strings matter to it, and an error of its own would spell out a nested value, however deep.
        members = {name: value for name, value in jwk.items() if isinstance(value, str)}
        key = jwt.PyJWK(members, algorithm=alg).key
    except jwt.PyJWTError:
        return f"its members do not make a key of type {jwk['kty']}"
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            return f"an RSA key of {key.key_size} bits; from {_RSA_BITS[0]} to {_RSA_BITS[-1]} are accepted"
        if (exponent := key.public_numbers().e) not in _RSA_EXPONENT or exponent % 2 == 0:
            return f"an RSA exponent of {clip(str(exponent))}"
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return "not on the curve P-256"


def _usable(jwk: Mapping[str, object], algorithms: tuple[str, ...]) -> VerificationKey | str:
    """Decide on one member of a set; a string says why it is not used."""
    kid, kty, use, operations = (jwk.get(name) for name in ("kid", "kty", "use", "key_ops"))
    if type(kid) is not str or not 0 < len(kid) <= _KID_LENGTH:
        return f"no key id of 1 to {_KID_LENGTH} characters"
    fitting = [alg for alg in algorithms if ALGORITHMS[alg] == kty]
    if not fitting:
        return f"key type {clip(kty)}, where the issuer signs with {', '.join(algorithms)}"
    if use is not None and use != "sig":
        return f"meant for use {clip(use)}, not for signatures"
    if operations is not None and not (isinstance(operations, tuple) and "verify" in operations):
        return "not meant for the operation 'verify'"
    if (alg := jwk.get("alg", fitting[0])) not in fitting:
        return f"for algorithm {clip(alg)}, where the issuer signs with {', '.join(algorithms)}"
    key = _public_key(jwk, str(alg))
    return key if isinstance(key, str) else VerificationKey(kid, str(alg), key)


def _members(document: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    """Take the keys out of a JWK Set, or refuse it whole."""
    members = document.get("keys")
    if not isinstance(members, tuple) or not all(isinstance(member, Mapping) for member in members):
        raise FetchError("content", "the key set has no array 'keys' of objects (RFC 7517, section 5)")
    if len(members) > _KEYS:
        raise FetchError("content", f"the key set holds {len(members)} keys, over the {_KEYS} accepted")
    for member in members:
        if member.get("kty") == "oct" or not _SECRET_MEMBERS.isdisjoint(member):
            raise FetchError("content", "the key set shows private or symmetric key material: refused whole")
    return members


def parse_key_set(body: bytes, algorithms: tuple[str, ...]) -> KeySet:
    """Read the JWK Set that a key endpoint answered.

    Args:
        body: The answer, already bounded in size.
        algorithms: What the issuer signs with, each a key of `ALGORITHMS`.

    Returns:
        The usable keys, with the refused ones named. Two keys under one key id are ambiguous: neither is
        used.

    Raises:
        FetchError: With stage ``content``, if the set must be refused whole: not strict JSON, wrong types,
            private or symmetric members, or no usable key.
    """
    try:
        document = read_object(body)
    except StrictJSONError as error:
        raise FetchError("content", f"the key set is not usable JSON: {error}") from None
    usable: dict[str, VerificationKey] = {}
    refused: list[RefusedKey] = []
    ambiguous: set[str] = set()
    seen: set[str] = set()
    for jwk in _members(document):
        kid = jwk.get("kid")
        named = kid if isinstance(kid, str) else None
        if named is not None and named in seen:
            ambiguous.add(named)
        elif named is not None:
            seen.add(named)
        key = _usable(jwk, algorithms)
        if isinstance(key, str):
            refused.append(RefusedKey(named, key))
        else:
            usable[key.kid] = key
    for kid in sorted(ambiguous):
        usable.pop(kid, None)
        refused.append(RefusedKey(kid, "two keys share this key id"))
    if not usable:
        why = "; ".join(sorted({key.why for key in refused})) or "it is empty"
        raise FetchError("content", f"the key set holds no usable key: {why}")
    return KeySet(MappingProxyType(usable), tuple(refused))
