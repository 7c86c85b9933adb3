"""The key set: the immutable set of keys that one answer of a key endpoint holds.

A set that shows private or symmetric key material was published by mistake, and is refused whole. A single
key that this issuer cannot sign with is left out, and the rest stays usable (RFC 7517, section 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from doorward.errors import FetchError
from doorward.keys.formats.jwk import is_secret, read_jwk
from doorward.keys.formats.pem import is_private_pem, read_pem
from doorward.keys.key import VerificationKey
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["KeySet", "RefusedKey", "parse_key_set"]

_MOST_KEYS: Final = 256


class RefusedKey(NamedTuple):
    """A published key that is not used.

    Attributes:
        kid: Its key id, if it had one.
        why: Why it is not used, as a sentence for the log.
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

        What depends on the identity of a key (a cached token) then lives as long as that key is published.

        Args:
            older: The set that this one replaces.

        Returns:
            A set equal to this one; the older set itself if both are equal.
        """
        if self == older:
            return older
        before = older.keys
        kept = {kid: before[kid] if before.get(kid) == key else key for kid, key in self.keys.items()}
        return KeySet(MappingProxyType(kept), self.refused)


def _jwks(members: object, algorithms: tuple[str, ...]) -> Iterable[tuple[str | None, VerificationKey | str]]:
    """Read a JWK Set (RFC 7517, section 5)."""
    if not isinstance(members, tuple) or not all(isinstance(member, Mapping) for member in members):
        raise FetchError("content", "'keys' of the key set is not an array of objects (RFC 7517, section 5)")
    if any(map(is_secret, members)):
        raise FetchError("content", "the key set shows private or symmetric key material: refused whole")
    for jwk in members:
        kid = jwk.get("kid")
        yield kid if isinstance(kid, str) else None, read_jwk(jwk, algorithms)


def _pems(
    document: Mapping[str, object], algorithms: tuple[str, ...], wall: float
) -> Iterable[tuple[str | None, VerificationKey | str]]:
    """Read an object of PEM texts by key id."""
    if any(map(is_private_pem, document.values())):
        raise FetchError("content", "the key set shows a private key: refused whole")
    for kid, text in document.items():
        yield kid, read_pem(kid, text, algorithms, wall)


def parse_key_set(body: bytes, algorithms: tuple[str, ...], wall: float) -> KeySet:
    """Read a key set, which is a JWK Set or an object of PEM texts by key id.

    Args:
        body: The JSON text. The caller has bounded its size.
        algorithms: What the issuer signs with, each a key of `ALGORITHMS`.
        wall: The time, in seconds since the epoch; certificates have a validity.

    Returns:
        The usable keys, and the refused ones with the reasons. Two keys with one key id are ambiguous:
        neither is used.

    Raises:
        FetchError: With stage ``content``, if the set must be refused whole: not strict JSON, wrong types,
            private or symmetric members, or no usable key.
    """
    try:
        document = read_object(body)
    except StrictJSONError as error:
        raise FetchError("content", f"the key set is not usable JSON: {error}") from None
    members = document.get("keys")
    if (count := len(members) if isinstance(members, tuple) else len(document)) > _MOST_KEYS:
        raise FetchError("content", f"the key set holds {count} keys, over the {_MOST_KEYS} accepted")
    published = list(_jwks(members, algorithms) if "keys" in document else _pems(document, algorithms, wall))
    kids = [kid for kid, _ in published if kid is not None]
    ambiguous = {kid for kid in kids if kids.count(kid) > 1}
    usable = {key.kid: key for kid, key in published if not isinstance(key, str) and kid not in ambiguous}
    refused = [RefusedKey(kid, key) for kid, key in published if isinstance(key, str)]
    refused += [RefusedKey(kid, "two keys share this key id") for kid in sorted(ambiguous)]
    if not usable:
        why = "; ".join(sorted({key.why for key in refused})) or "it is empty"
        raise FetchError("content", f"the key set holds no usable key: {why}")
    return KeySet(MappingProxyType(usable), tuple(refused))
