"""Key sets of JSON Web Keys, read with suspicion."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doorward.errors import FetchError
from doorward.keys.formats import keyset
from doorward.keys.formats.jwk import read_jwk
from doorward.keys.formats.keyset import KeySet, RefusedKey
from doorward.keys.key import ALGORITHMS, VerificationKey
from support.tokens import SigningKey, b64, jwks, number, rsa_key

RS: tuple[str, ...] = ("RS256",)
ES: tuple[str, ...] = ("ES256",)
BOTH: tuple[str, ...] = ("RS256", "ES256")
GOOD = SigningKey("good")
OTHER = SigningKey("other")
CURVE = SigningKey("curve", "ES256")
INPUT = b"eyJhbGciOiJSUzI1NiJ9.e30"
SIGNED = sha256(INPUT).digest()
NOW = 1_790_000_000.0


def parse_key_set(body: bytes, algorithms: tuple[str, ...]) -> KeySet:
    return keyset.parse_key_set(body, algorithms, NOW)


def whole_refusal(body: bytes, algorithms: tuple[str, ...] = RS) -> str:
    """Read a set that must be refused whole, and give the sentence."""
    with pytest.raises(FetchError) as caught:
        parse_key_set(body, algorithms)
    assert ("content", None) == (caught.value.stage, caught.value.retry_after)
    return caught.value.message


def why(jwk: Mapping[str, Any], algorithms: tuple[str, ...] = RS) -> str:
    """Publish a key beside a good one, and give the reason for which only it is not used."""
    good = GOOD if "RS256" in algorithms else CURVE
    found = parse_key_set(jwks(jwk, good), algorithms)
    assert [good.kid] == list(found.keys)
    (refused,) = found.refused
    assert (jwk.get("kid") if isinstance(jwk.get("kid"), str) else None) == refused.kid
    return refused.why


def rsa_jwk(n: int, e: int) -> dict[str, Any]:
    return {"kid": "odd", "kty": "RSA", "n": number(n), "e": number(e)}


def curve_jwk(curve: ec.EllipticCurve, name: str) -> dict[str, Any]:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    return {
        "kid": "odd",
        "kty": "EC",
        "crv": name,
        "x": number(numbers.x, size),
        "y": number(numbers.y, size),
    }


# What is accepted.


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [(GOOD, RS), (CURVE, ES), (GOOD, BOTH), (CURVE, BOTH), (CURVE, ("ES256", "RS256"))],
    ids=["rs256", "es256", "rsa-of-both", "ec-of-both", "other-order"],
)
def test_a_published_key_verifies_what_its_owner_signed(key: SigningKey, algorithms: tuple[str, ...]) -> None:
    found = parse_key_set(jwks(key), algorithms)

    assert () == found.refused
    assert (key.kid, key.alg) == (found.keys[key.kid].kid, found.keys[key.kid].alg)
    assert found.keys[key.kid].verify(key.sign(INPUT), SIGNED) is True


def test_all_keys_of_a_set_are_kept_by_their_ids() -> None:
    found = parse_key_set(jwks(GOOD, OTHER, CURVE), BOTH)

    assert {"good": "RS256", "other": "RS256", "curve": "ES256"} == {
        kid: key.alg for kid, key in found.keys.items()
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"alg": None},
        {"use": None},
        {"key_ops": ["verify"]},
        {"key_ops": ["encrypt", "verify"]},
        {"x5c": ["MIIB"], "x5t": "abc", "x5u": "https://elsewhere.example/"},
        {"issuer": "https://accounts.google.com", "nested": {"a": [1]}},
        {"kid": "k" * 256},
        {"kid": "é"},
        {"kty": "RSA", "crv": "P-256"},
    ],
    ids=[
        "no-alg",
        "no-use",
        "verify",
        "verify-too",
        "x509",
        "unknown",
        "long-kid",
        "any-kid",
        "alien-member",
    ],
)
def test_members_that_may_be_missing_or_unknown_do_not_matter(changed: dict[str, Any]) -> None:
    found = parse_key_set(jwks(GOOD.jwk(**changed)), RS)

    assert ([changed.get("kid", "good")], ()) == (list(found.keys), found.refused)


def test_members_of_the_set_besides_its_keys_do_not_matter() -> None:
    body = json.dumps({"issuer": "x", "keys": [GOOD.jwk()], "next": None}).encode()

    assert ["good"] == list(parse_key_set(body, RS).keys)


@pytest.mark.parametrize("bits", [2048, 3072, 4096, 8192])
def test_rsa_keys_within_the_bounds_are_used(bits: int) -> None:
    """Any odd number of that many bits stands for a modulus: it is not factored here."""
    assert ["odd"] == list(parse_key_set(jwks(rsa_jwk(2 ** (bits - 1) + 1, 65537)), RS).keys)


def test_the_keys_of_a_set_cannot_be_changed() -> None:
    found: Any = parse_key_set(jwks(GOOD), RS)

    with pytest.raises(TypeError, match="item assignment"):
        found.keys["good"] = None
    with pytest.raises(AttributeError, match="cannot assign"):
        found.keys = {}


def test_there_is_no_algorithm_without_a_public_key() -> None:
    assert {"RS256": "RSA", "ES256": "EC"} == ALGORITHMS


# What is refused whole.


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in</html>",
        b"{",
        b"\xef\xbb\xbf" + jwks(GOOD),
        jwks(GOOD).decode().encode("utf-16"),
        jwks(GOOD) + b"x",
        jwks(GOOD).replace(b'"keys": [', b'"x": NaN, "keys": ['),
        b"[]",
        b'"keys"',
        b"null",
    ],
    ids=["nothing", "html", "cut", "bom", "utf-16", "tail", "nan", "array", "string", "null"],
)
def test_what_is_not_one_json_object_is_no_key_set(body: bytes) -> None:
    assert whole_refusal(body).startswith("the key set is not usable JSON: ")


@pytest.mark.parametrize(
    "body",
    [
        jwks(GOOD).replace(b'"keys": [', b'"keys": [], "keys": ['),
        jwks(GOOD).replace(b'"kty": "RSA"', b'"kty": "RSA", "kty": "RSA"'),
        jwks(GOOD).replace(b'"kid": "good"', b'"kid": "bad", "k\\u0069d": "good"'),
        jwks(OTHER, {"kid": "x", "extra": 1}).replace(b'"extra": 1', b'"extra": {"a": 1, "a": 2}'),
    ],
    ids=["keys", "kty", "escaped-kid", "nested"],
)
def test_a_set_with_a_member_twice_is_refused_whole(body: bytes) -> None:
    assert "the key set is not usable JSON: a member name occurs twice" == whole_refusal(body)


@pytest.mark.parametrize(
    "keys",
    [None, {}, {"good": GOOD.jwk()}, "RSA", [GOOD.jwk(), None], [GOOD.jwk(), "RSA"], [[GOOD.jwk()]]],
    ids=["null", "object", "by-kid", "string", "null-key", "string-key", "nested"],
)
def test_keys_that_are_not_an_array_of_objects_are_refused_whole(keys: object) -> None:
    expected = "'keys' of the key set is not an array of objects (RFC 7517, section 5)"

    assert expected == whole_refusal(json.dumps({"keys": keys}).encode())


@pytest.mark.parametrize(
    ("document", "why_not"),
    [
        ({}, "it is empty"),
        ({"Keys": [GOOD.jwk()]}, "not a text in PEM form"),
        (GOOD.jwk(), "not a certificate or a public key in PEM form"),
        ({"good": "-----BEGIN CERTIFICATE-----"}, "not a certificate or a public key in PEM form"),
    ],
    ids=["none", "case", "jwk", "pem"],
)
def test_an_object_of_neither_form_is_refused_whole(document: object, why_not: str) -> None:
    expected = f"the key set holds no usable key: {why_not}"

    assert expected == whole_refusal(json.dumps(document).encode())


def test_an_empty_set_is_refused() -> None:
    assert "the key set holds no usable key: it is empty" == whole_refusal(jwks())


def test_a_set_without_a_usable_key_is_refused_with_every_reason_once() -> None:
    body = jwks(CURVE, CURVE.jwk(kid="x"), GOOD.jwk(use="enc"))

    assert (
        "the key set holds no usable key: "
        "key type 'EC', where the issuer signs with RS256; meant for use 'enc', not for signatures"
    ) == whole_refusal(body)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("value", ["AQAB", None, []], ids=["text", "null", "array"])
def test_a_private_member_of_any_key_refuses_the_whole_set(member: str, value: object) -> None:
    leaked = {**OTHER.jwk(), member: value}

    assert "the key set shows private or symmetric key material: refused whole" == whole_refusal(
        jwks(GOOD, leaked)
    )


def test_a_private_member_of_a_key_that_would_not_be_used_refuses_the_whole_set() -> None:
    assert "refused whole" in whole_refusal(jwks(GOOD, {"kty": "unknown", "d": "AQAB"}))


@pytest.mark.parametrize("jwk", [{"kty": "oct"}, {"kty": "oct", "k": b64(b"secret"), "alg": "HS256"}])
def test_a_symmetric_key_refuses_the_whole_set(jwk: dict[str, Any]) -> None:
    assert "refused whole" in whole_refusal(jwks(GOOD, {"kid": "x", **jwk}))


def test_no_error_repeats_a_private_member() -> None:
    assert "aGVsbG8" not in whole_refusal(jwks(GOOD, {**OTHER.jwk(), "d": "aGVsbG8"}))


def test_a_set_holds_256_keys_and_no_more() -> None:
    keys = [CURVE.jwk(kid=f"key-{index}") for index in range(257)]

    assert 256 == len(parse_key_set(jwks(*keys[:256]), ES).keys)
    assert "the key set holds 257 keys, over the 256 accepted" == whole_refusal(jwks(*keys), ES)


# What is refused singly.


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        (1024, "an RSA key of 1024 bits; from 2048 to 8192 are accepted"),
        (2047, "an RSA key of 2047 bits; from 2048 to 8192 are accepted"),
        (8193, "an RSA key of 8193 bits; from 2048 to 8192 are accepted"),
        (1_000_000, "an RSA key of 1000000 bits; from 2048 to 8192 are accepted"),
    ],
    ids=str,
)
def test_an_rsa_key_too_short_or_too_long_is_not_used(bits: int, sentence: str) -> None:
    began = time.monotonic()

    assert sentence == why(rsa_jwk(2 ** (bits - 1) + 1, 65537))
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("exponent", "sentence"),
    [
        (3, "an RSA exponent of '3'"),
        (17, "an RSA exponent of '17'"),
        (65535, "an RSA exponent of '65535'"),
        (2**32 + 1, "an RSA exponent of '4294967297'"),
        (2**64 + 1, "an RSA exponent of '1844674407370955'…"),
        (65538, "its members do not make a key of type RSA"),
        (1, "its members do not make a key of type RSA"),
        (0, "its members do not make a key of type RSA"),
        (2**3000 + 1, "its members do not make a key of type RSA"),
    ],
    ids=["3", "17", "65535", "over-32-bits", "over-64-bits", "even", "1", "0", "over-modulus"],
)
def test_an_rsa_exponent_that_is_weak_or_dear_is_not_used(exponent: int, sentence: str) -> None:
    modulus = rsa_key("good").public_key().public_numbers().n

    assert sentence == why(rsa_jwk(modulus, exponent))


@pytest.mark.parametrize("exponent", [65537, 65539, 2**32 - 1])
def test_an_rsa_exponent_within_the_bounds_is_used(exponent: int) -> None:
    modulus = rsa_key("good").public_key().public_numbers().n

    assert ["odd"] == list(parse_key_set(jwks(rsa_jwk(modulus, exponent)), RS).keys)


@pytest.mark.parametrize(
    ("kty", "shown"),
    [
        ("EC", "'EC'"),
        ("OKP", "'OKP'"),
        ("AKP", "'AKP'"),
        ("rsa", "'rsa'"),
        ("RSA ", "'RSA '"),
        ("", "''"),
        (None, "'None'"),
        (1, "'1'"),
        (["RSA"], "'tuple'"),
        ("x" * 5000, f"'{'x' * 16}'…"),
    ],
    ids=["ec", "okp", "akp", "case", "space", "empty", "missing", "number", "array", "long"],
)
def test_a_key_of_another_type_is_not_used(kty: object, shown: str) -> None:
    jwk = GOOD.jwk(kid="odd", kty=kty)

    assert f"key type {shown}, where the issuer signs with RS256" == why(jwk)


def test_an_rsa_key_is_not_used_where_the_issuer_signs_with_es256() -> None:
    assert "key type 'RSA', where the issuer signs with ES256" == why(OTHER.jwk(), ES)


@pytest.mark.parametrize(
    "alg", ["RS512", "PS256", "RS384", "RSA256", "rs256", "ES256", "HS256", "none", "", 1]
)
def test_a_key_for_another_algorithm_is_not_used(alg: object) -> None:
    """RSA256, which does not exist, is what the Cloud Tasks emulator publishes."""
    assert f"for algorithm '{alg}', where the issuer signs with RS256" == why(OTHER.jwk(alg=alg))


@pytest.mark.parametrize("alg", ["RS256", "ES384", "ES256K"])
def test_an_ec_key_for_another_algorithm_is_not_used(alg: str) -> None:
    assert f"for algorithm '{alg}', where the issuer signs with RS256, ES256" == why(CURVE.jwk(alg=alg), BOTH)


def test_an_algorithm_of_null_is_not_the_same_as_none_named() -> None:
    assert "for algorithm 'None', where the issuer signs with RS256" == why({**OTHER.jwk(), "alg": None})


@pytest.mark.parametrize(
    ("use", "shown"), [("enc", "'enc'"), ("SIG", "'SIG'"), ("", "''"), (["sig"], "'tuple'"), (1, "'1'")]
)
def test_a_key_for_another_use_is_not_used(use: object, shown: str) -> None:
    assert f"meant for use {shown}, not for signatures" == why(OTHER.jwk(use=use))


@pytest.mark.parametrize(
    "operations",
    [[], ["sign"], ["encrypt", "wrapKey"], "verify", {"verify": True}, ["VERIFY"], 1, ["verify "]],
    ids=str,
)
def test_a_key_for_other_operations_is_not_used(operations: object) -> None:
    assert "not meant for the operation 'verify'" == why(OTHER.jwk(key_ops=operations))


@pytest.mark.parametrize(
    "kid", [None, "", "k" * 257, 1, True, ["other"], {"kid": "other"}], ids=lambda kid: str(kid)[:16]
)
def test_a_key_without_a_proper_key_id_is_not_used(kid: object) -> None:
    assert "no key id of 1 to 256 characters" == why(OTHER.jwk(kid=kid))


@pytest.mark.parametrize(
    ("curve", "name"),
    [(ec.SECP384R1(), "P-384"), (ec.SECP521R1(), "P-521"), (ec.SECP256K1(), "secp256k1")],
    ids=["p-384", "p-521", "secp256k1"],
)
def test_a_key_on_another_curve_is_not_used(curve: ec.EllipticCurve, name: str) -> None:
    assert "not on the curve P-256" == why(curve_jwk(curve, name), ES)


@pytest.mark.parametrize(
    "changed",
    [
        {"n": None},
        {"e": None},
        {"n": ""},
        {"n": 5},
        {"n": ["AQAB"]},
        {"n": "é"},
        {"n": "A"},
        {"n": "AAAA"},
        {"e": ""},
        {"e": {"e": "AQAB"}},
    ],
    ids=str,
)
def test_members_that_make_no_rsa_key_are_not_used(changed: dict[str, Any]) -> None:
    assert "its members do not make a key of type RSA" == why(OTHER.jwk(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"x": None},
        {"y": None},
        {"crv": None},
        {"crv": "p-256"},
        {"crv": "P-384"},
        {"crv": ["P-256"]},
        {"x": 1},
        {"x": ""},
        {"x": b64(bytes(31))},
        {"x": b64(bytes(33))},
        {"x": b64(bytes(32)), "y": b64(bytes(32))},
        {"y": b64(b"\xff" * 32)},
        {"x": CURVE.jwk()["y"], "y": CURVE.jwk()["x"]},
    ],
    ids=lambda changed: (
        ",".join(f"{name}={str(value)[:8]}" for name, value in changed.items())
        if len(changed) == 1
        else "-".join(changed)
    ),
)
def test_members_that_make_no_ec_key_are_not_used(changed: dict[str, Any]) -> None:
    assert "its members do not make a key of type EC" == why(CURVE.jwk(kid="odd", **changed), BOTH)


@pytest.mark.parametrize("member", ["kty", "use", "alg", "crv", "n", "key_ops"])
@pytest.mark.parametrize("depth", [100, *range(400, 500, 10), 900])
def test_a_member_that_is_nested_deeply_raises_nothing_but_a_fetch_error(member: str, depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    body = jwks(CURVE.jwk(**{member: "NESTED"})).replace(b'"NESTED"', nested)

    assert outcome(body, BOTH) <= {"curve"}


def outcome(body: bytes, algorithms: tuple[str, ...]) -> set[str]:
    """Read a set; the key ids in use, none if it was refused whole."""
    try:
        return set(parse_key_set(body, algorithms).keys)
    except FetchError:
        return set()


# Two keys under one key id.


@pytest.mark.parametrize(
    "twin",
    [
        OTHER.jwk(kid="twin"),
        GOOD.jwk(kid="twin"),
        GOOD.jwk(kid="twin", use="enc"),
        CURVE.jwk(kid="twin"),
        {"kid": "twin"},
    ],
    ids=["other-key", "same-key", "unusable", "other-type", "empty"],
)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_of_two_keys_under_one_key_id_neither_is_used(twin: dict[str, Any], *, first: bool) -> None:
    twins = (twin, GOOD.jwk(kid="twin")) if first else (GOOD.jwk(kid="twin"), twin)
    found = parse_key_set(jwks(*twins, OTHER), RS)

    assert ["other"] == list(found.keys)
    assert RefusedKey("twin", "two keys share this key id") == found.refused[-1]


def test_three_keys_under_one_key_id_are_named_once() -> None:
    found = parse_key_set(jwks(*(key.jwk(kid="twin") for key in (GOOD, OTHER, GOOD)), GOOD), RS)

    assert (RefusedKey("twin", "two keys share this key id"),) == found.refused
    assert ["good"] == list(found.keys)


def test_a_set_of_nothing_but_twins_is_refused_whole() -> None:
    assert "the key set holds no usable key: two keys share this key id" == whole_refusal(
        jwks(GOOD.jwk(kid="twin"), OTHER.jwk(kid="twin"))
    )


# Keeping what is the same.


def read(*keys: SigningKey | Mapping[str, Any]) -> KeySet:
    return parse_key_set(jwks(*keys), BOTH)


def test_a_set_that_changed_nothing_is_the_older_set_itself() -> None:
    older = read(GOOD, CURVE)

    assert read(GOOD, CURVE).keeping(older) is older
    assert read(CURVE, GOOD).keeping(older) is older
    assert read(GOOD.jwk(alg=None, extra=1), CURVE).keeping(older) is older


def test_a_key_that_is_published_on_keeps_its_object() -> None:
    older = read(GOOD, OTHER)
    newer = read(GOOD, CURVE)
    kept = newer.keeping(older)

    assert newer == kept
    assert older.keys["good"] is kept.keys["good"]
    assert {"good", "curve"} == kept.keys.keys()


def test_a_key_that_changed_under_its_key_id_is_a_new_object() -> None:
    older = read(GOOD, OTHER)
    kept = read(GOOD, OTHER.jwk(n=SigningKey("third").jwk()["n"])).keeping(older)

    assert older.keys["good"] is kept.keys["good"]
    assert older.keys["other"] != kept.keys["other"]


def test_a_set_of_which_only_the_refused_keys_changed_is_new_with_the_old_key_objects() -> None:
    older = read(GOOD)
    kept = read(GOOD, OTHER.jwk(use="enc")).keeping(older)

    assert kept is not older
    assert older.keys["good"] is kept.keys["good"]
    assert (RefusedKey("other", "meant for use 'enc', not for signatures"),) == kept.refused


def test_keeping_changes_neither_set() -> None:
    older, newer = read(GOOD), read(GOOD, CURVE)
    before = dict(newer.keys)
    newer.keeping(older)

    assert ["good"] == list(older.keys)
    assert all(before[kid] is key for kid, key in newer.keys.items())


def test_after_nothing_a_set_is_as_it_was_read() -> None:
    newer = read(GOOD)

    assert newer == newer.keeping(KeySet(MappingProxyType({})))


# Beside PyJWT.


@given(st.integers(0, 2**2050), st.sampled_from([3, 65537, 65536, 2**32 + 1]) | st.integers(0, 2**40))
@example(rsa_key("good").public_key().public_numbers().n, 65537)
@settings(max_examples=100, deadline=None)
def test_an_rsa_key_that_is_read_is_the_one_that_pyjwt_reads(n: int, e: int) -> None:
    jwk = {"kty": "RSA", "kid": "one", "n": number(n or 1), "e": number(e or 1)}
    try:
        theirs = jwt.PyJWK(jwk, algorithm="RS256").key
    except (jwt.PyJWTError, ValueError):
        theirs = None

    ours = read_jwk(jwk, ("RS256",))

    if isinstance(ours, VerificationKey):
        assert theirs is not None
        assert VerificationKey("one", "RS256", theirs) == ours
    elif theirs is not None:
        assert "RSA" in ours


@pytest.mark.parametrize("name", ["n", "e"])
@pytest.mark.parametrize(
    "change", [lambda text: text + "=", lambda text: "+" + text[1:], lambda text: " " + text]
)
def test_a_number_of_a_key_has_one_encoding(name: str, change: Any) -> None:
    jwk = GOOD.jwk()

    assert "its members do not make a key of type RSA" == read_jwk(
        jwk | {name: change(jwk[name])}, ("RS256",)
    )


# Verifying.


def key_of(signer: SigningKey) -> VerificationKey:
    return read(signer).keys[signer.kid]


@pytest.mark.parametrize("signer", [GOOD, CURVE], ids=["rs256", "es256"])
def test_a_signature_holds_for_its_key_and_its_input_alone(signer: SigningKey) -> None:
    other = OTHER if signer is GOOD else SigningKey("curve-2", "ES256")
    signature = signer.sign(INPUT)
    tampered = signature[:-1] + bytes([signature[-1] ^ 1])

    assert [True, False, False, False] == [
        key_of(signer).verify(signature, SIGNED),
        key_of(signer).verify(signature, sha256(INPUT + b"x").digest()),
        key_of(signer).verify(tampered, SIGNED),
        key_of(other).verify(signature, SIGNED),
    ]


@pytest.mark.parametrize("signer", [GOOD, CURVE], ids=["rs256", "es256"])
@pytest.mark.parametrize(
    "change",
    [
        lambda signature: b"",
        lambda signature: signature[:-1],
        lambda signature: signature + b"\0",
        lambda signature: b"\0" + signature,
        lambda signature: bytes(len(signature)),
        lambda signature: b"\xff" * len(signature),
        lambda signature: signature * 2,
        lambda signature: signature * 1000,
    ],
    ids=["empty", "cut", "longer", "zero-before", "zeros", "ones", "twice", "huge"],
)
def test_a_signature_of_another_length_or_out_of_range_does_not_hold(signer: SigningKey, change: Any) -> None:
    assert key_of(signer).verify(change(signer.sign(INPUT)), SIGNED) is False


def test_an_es256_signature_in_der_does_not_hold() -> None:
    """OpenSSL's own form, which RFC 7518, section 3.4, does not use."""
    assert isinstance(CURVE.private, ec.EllipticCurvePrivateKey)
    der = CURVE.private.sign(INPUT, ec.ECDSA(SHA256()))

    assert key_of(CURVE).verify(der, SIGNED) is False


def test_an_es256_signature_has_one_encoding() -> None:
    """A zero before S would change its bytes and not its number."""
    signature = CURVE.sign(INPUT)

    assert key_of(CURVE).verify(signature[:32] + b"\0" + signature[32:], SIGNED) is False


def test_der_that_happens_to_have_64_bytes_does_not_hold() -> None:
    der = encode_dss_signature(2**231 - 1, 2**231 - 1)
    padded = der.ljust(64, b"\0")

    assert 64 == len(padded)
    assert key_of(CURVE).verify(padded, SIGNED) is False


def test_an_rs256_signature_with_another_hash_or_padding_does_not_hold() -> None:
    assert isinstance(GOOD.private, rsa.RSAPrivateKey)
    pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
    signatures = [
        GOOD.private.sign(INPUT, padding.PKCS1v15(), SHA1()),
        GOOD.private.sign(INPUT, padding.PKCS1v15(), SHA512()),
        GOOD.private.sign(INPUT, pss, SHA256()),
    ]

    assert [False, False, False] == [key_of(GOOD).verify(signature, SIGNED) for signature in signatures]


def test_keys_are_equal_by_key_id_algorithm_and_numbers() -> None:
    key = key_of(GOOD)

    assert key == key_of(GOOD)
    assert hash(key) == hash(key_of(GOOD))
    assert key != read(GOOD.jwk(kid="renamed")).keys["renamed"]
    assert key != key_of(OTHER)
    assert key != "good"


def test_a_key_shows_its_id_and_algorithm_and_no_numbers() -> None:
    assert "VerificationKey(kid='good', alg='RS256')" == repr(key_of(GOOD))


# Whatever comes.

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["AQAB", "RSA", "EC"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
MEMBERS = ["kid", "kty", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "d", "k"]


@given(st.binary(max_size=200), st.sampled_from([RS, ES, BOTH]))
@settings(max_examples=100, deadline=None)
def test_no_bytes_raise_anything_but_a_fetch_error(body: bytes, algorithms: tuple[str, ...]) -> None:
    assert set() == outcome(body, algorithms)


@given(JSON, st.sampled_from([RS, ES, BOTH]))
@settings(max_examples=100, deadline=None)
def test_no_json_raises_anything_but_a_fetch_error(document: object, algorithms: tuple[str, ...]) -> None:
    for body in (document, {"keys": document}, {"keys": [document]}):
        assert set() == outcome(json.dumps(body).encode(), algorithms)


@given(
    st.sampled_from([OTHER, CURVE]),
    st.dictionaries(st.sampled_from(MEMBERS), JSON | st.just(...), max_size=4),
    st.sampled_from([RS, ES, BOTH]),
)
@settings(max_examples=200, deadline=None)
def test_a_good_key_with_members_changed_at_random_is_used_or_not(
    key: SigningKey, changed: dict[str, Any], algorithms: tuple[str, ...]
) -> None:
    jwk = {name: value for name, value in {**key.jwk(), **changed}.items() if value is not ...}

    used = outcome(jwks(jwk), algorithms)

    assert used <= ({jwk["kid"]} if isinstance(jwk.get("kid"), str) else set())
    if not changed:
        assert bool(used) is (key.alg in algorithms)
