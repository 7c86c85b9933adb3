"""What went wrong in other libraries, tried here: each test names the advisory it keeps in mind."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import json
import logging
import time
import urllib.parse
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

import doorward
from doorward import GOOGLE, ConfigurationError, Principal, PrincipalKind, RefusedError, TokenError, Verifier
from doorward.errors import Reason
from doorward.keys.key import ALGORITHMS
from doorward.tokens.verifier import engine_of
from support.tokens import AUDIENCE, CALLER, SigningKey, b64, claims, header, jwks, signed
from support.world import World

Encoding, PublicFormat = serialization.Encoding, serialization.PublicFormat


def refused(verifier: Verifier, token: str | bytes) -> Reason:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value.reason


def refused_claim(verifier: Verifier, token: str | bytes) -> tuple[Reason, str | None]:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value.reason, caught.value.claim


@pytest.fixture
def warm(world: World) -> Verifier:
    """Give a verifier that has its keys, so that nothing is refused for want of them."""
    verifier = world.verifier()
    verifier.verify(world.token())
    return verifier


def signing_input_of(head: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    return ".".join(b64(json.dumps(part).encode()) for part in (head, payload))


# Algorithms.


def certificate(key: RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.example")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start.replace(year=2027))
    return builder.sign(key, hashes.SHA256())


def public_forms(key: SigningKey) -> Mapping[str, bytes]:
    """Give every text or binary form in which a public key is found in the wild."""
    assert isinstance(key.private, RSAPrivateKey)
    public = key.private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    cert = certificate(key.private)
    der = cert.public_bytes(Encoding.DER)
    return {
        "pem": pem,
        "pem without its last newline": pem.strip(),
        "pem after a space": b" " + pem,
        "pkcs1 pem": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "pkcs1 der": public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "ssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "jwk": json.dumps(key.jwk()).encode(),
        "jwk, compact": json.dumps(key.jwk(), separators=(",", ":")).encode(),
        "jwk set": jwks(key),
        "modulus": key.jwk()["n"].encode(),
        "certificate pem": cert.public_bytes(Encoding.PEM),
        "certificate der": der,
        "x5c": base64.b64encode(der),
        "empty": b"",
    }


FORMS = public_forms(SigningKey("key-1"))
HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


@pytest.mark.parametrize("alg", HASHES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kid", ["key-1", "unknown"])
def test_hmac_with_a_public_key_as_its_secret_is_refused(
    world: World, warm: Verifier, alg: str, form: str, kid: str
) -> None:
    """A key that everybody knows as a shared secret.

    CVE-2022-29217 and CVE-2026-48522 to -48526 (PyJWT), CVE-2024-37568 (Authlib),
    CVE-2024-33663 (python-jose), CVE-2026-34950 (fast-jwt).
    """
    signing_input = signing_input_of({"alg": alg, "kid": kid}, claims(world.clock.now))
    tag = hmac.new(FORMS[form], signing_input.encode(), HASHES[alg]).digest()

    assert Reason.ALGORITHM_NOT_ALLOWED == refused(warm, f"{signing_input}.{b64(tag)}")
    assert 1 == world.endpoint.fetches


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (alias.name for alias in node.names)


def test_no_hmac_and_no_decryption_is_reachable() -> None:
    """CVE-2022-29217, CVE-2024-37568, CVE-2026-28490: what is not in the code, no header can reach."""
    root = Path(doorward.__file__).parent
    used = {name for path in root.rglob("*.py") for name in imports(ast.parse(path.read_bytes()))}

    assert {"RS256", "ES256"} == set(ALGORITHMS)
    assert "jwt" in used
    assert not {"hmac", "HMAC", "pickle", "cryptography.hazmat.primitives.hmac"} & used
    assert not any("ciphers" in name or "keywrap" in name for name in used)


@pytest.mark.parametrize(
    "alg",
    [
        "none",
        "None",
        "NONE",
        "nOnE",
        " none",
        "none ",
        "no\u200bne",
        "",
        "null",
        "RS256none",
        "rs256",
        "Rs256",
        "RS256 ",
        "RS256\u0000",
    ],
    ids=repr,
)
@pytest.mark.parametrize("signature", ["", "AA", b64(b"s" * 256)], ids=["unsigned", "short", "long"])
def test_no_spelling_of_none_is_an_algorithm(world: World, warm: Verifier, alg: str, signature: str) -> None:
    """alg:none, in every spelling that once passed somewhere; a good signature does not help it either."""
    payload = b64(json.dumps(claims(world.clock.now)).encode())
    token = f"{b64(json.dumps({'alg': alg, 'kid': 'key-1'}).encode())}.{payload}.{signature}"

    expected = Reason.ALGORITHM_NOT_ALLOWED if signature else Reason.MALFORMED
    assert expected == refused(warm, token)
    resigned = signed(world.key, header(world.key, alg=alg), claims(world.clock.now))
    assert Reason.ALGORITHM_NOT_ALLOWED == refused(warm, resigned)


@pytest.mark.parametrize("alg", ["PS256", "RS384", "RS512", "PS512", "ES256", "ES256K", "EdDSA", "HS256"])
def test_the_algorithm_comes_from_the_issuer_and_not_from_the_header(
    world: World, warm: Verifier, alg: str
) -> None:
    """CVE-2026-48522 to -48526 (PyJWT): an allow-list that is not bound to the algorithm of the key."""
    private = world.key.private
    assert isinstance(private, RSAPrivateKey)
    signing_input = signing_input_of(header(world.key, alg=alg), claims(world.clock.now))
    digest = hashes.SHA512() if alg.endswith("512") else hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(digest), 32) if alg.startswith("PS") else padding.PKCS1v15()
    signature = private.sign(signing_input.encode(), scheme, digest)

    assert Reason.ALGORITHM_NOT_ALLOWED == refused(warm, f"{signing_input}.{b64(signature)}")


@pytest.mark.parametrize("kind", ["PS256", "RS512"])
def test_a_signature_of_another_scheme_under_an_honest_looking_header_is_bad(
    world: World, warm: Verifier, kind: str
) -> None:
    """The other way round: RS256 in the header, PSS or SHA-512 in the signature."""
    private = world.key.private
    assert isinstance(private, RSAPrivateKey)
    signing_input, _, _ = world.token().rpartition(".")
    raw = signing_input.encode()
    if kind == "PS256":
        signature = private.sign(raw, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    else:
        signature = private.sign(raw, padding.PKCS1v15(), hashes.SHA512())

    assert Reason.BAD_SIGNATURE == refused(world.verifier(), f"{signing_input}.{b64(signature)}")


@pytest.mark.parametrize(
    "signature",
    [bytes(64), bytes(63) + b"\1", b"\xff" * 64, b"\1" * 63, b"\1" * 65, bytes(256)],
    ids=["zeros", "r zero", "too great", "short", "long", "rsa"],
)
def test_an_es256_signature_out_of_range_is_bad_and_no_error(signature: bytes) -> None:
    """CVE-2022-21449 and its like: r and s of zero, or not of 32 bytes each."""
    world = World(key=SigningKey("ec", "ES256"))
    verifier = world.verifier(issuers=[replace(GOOGLE, algorithms=("ES256",))])
    signing_input, _, _ = world.token().rpartition(".")

    assert Reason.BAD_SIGNATURE == refused(verifier, f"{signing_input}.{b64(signature)}")


def test_an_es256_signature_in_der_is_bad() -> None:
    """RFC 7518, section 3.4: one spelling of a signature, not two."""
    world = World(key=SigningKey("ec", "ES256"))
    verifier = world.verifier(issuers=[replace(GOOGLE, algorithms=("ES256",))])
    signing_input, _, signature = world.token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))

    assert Reason.BAD_SIGNATURE == refused(verifier, f"{signing_input}.{b64(der)}")


@pytest.mark.parametrize("algorithms", [(), ("HS256",), ("none",), "RS256", ("RS256", "HS256")], ids=repr)
def test_an_allow_list_of_algorithms_cannot_be_empty_or_hold_another(algorithms: Any) -> None:
    """python-jose #417: an allow-list of None skipped the check."""
    with pytest.raises(ConfigurationError):
        replace(GOOGLE, algorithms=algorithms)


# The header.


@pytest.mark.parametrize(
    "crit",
    [
        [],
        ["exp"],
        ["b64"],
        ["unknown"],
        "b64",
        "",
        {"b64": True},
        [["b64"]],
        [None],
        None,
        True,
        0,
        ["crit"],
        ["exp", "exp"],
    ],
    ids=repr,
)
def test_any_crit_is_refused(world: World, warm: Verifier, crit: object) -> None:
    """CVE-2026-32597 (PyJWT), CVE-2025-59420 (Authlib): unknown critical extensions were accepted."""
    token = signed(world.key, header(world.key) | {"crit": crit, "exp": 1}, claims(world.clock.now))

    assert Reason.HEADER_NOT_ALLOWED == refused(warm, token)


def test_a_crit_that_occurs_twice_is_malformed(world: World, warm: Verifier) -> None:
    """CVE-2026-32597 (PyJWT), for readers that keep the first or the last of two."""
    head = b'{"alg":"RS256","kid":"key-1","crit":["b64"],"crit":[]}'

    assert Reason.MALFORMED == refused(warm, signed(world.key, head, claims(world.clock.now)))


def test_a_crit_inside_another_parameter_steers_nothing(world: World, warm: Verifier) -> None:
    """RFC 7515, section 4: parameters that are not understood are ignored, whatever is in them."""
    token = signed(world.key, header(world.key, other={"crit": ["b64"]}), claims(world.clock.now))

    assert warm.verify(token).subject


@pytest.mark.parametrize("crit", [None, ["b64"]], ids=["alone", "with crit"])
def test_an_unencoded_payload_is_refused_before_it_is_decoded(
    world: World, warm: Verifier, crit: Any
) -> None:
    """CVE-2026-48522 to -48526 (PyJWT), GHSA-wphv-vfrh-23q5 (joserfc): b64=false, an unbounded path."""
    head = b64(json.dumps(header(world.key, b64=False, crit=crit)).encode())

    assert Reason.HEADER_NOT_ALLOWED == refused(warm, f"{head}.{'!' * 10_000}.AAAA")


def test_a_compressed_payload_is_refused(world: World, warm: Verifier) -> None:
    """CVE-2024-28102 (jwcrypto), CVE-2024-33664 (python-jose), CVE-2024-28180 (go-jose): bombs."""
    bomb = zlib.compress(b"0" * 1_000_000)
    token = signed(world.key, header(world.key, zip="DEF"), bomb)

    assert Reason.HEADER_NOT_ALLOWED == refused(warm, token)


def test_an_encrypted_token_is_malformed(world: World, warm: Verifier) -> None:
    """CVE-2026-28490 (Authlib), CVE-2026-34986 (go-jose): there is no decryption to attack."""
    head = b64(b'{"alg":"RSA-OAEP","enc":"A256GCM","kid":"key-1"}')

    assert Reason.MALFORMED == refused(warm, f"{head}.a2V5.aXY.Y2lwaGVy.dGFn")
    assert Reason.HEADER_NOT_ALLOWED == refused(warm, f"{head}.a2V5.aXY")


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
@pytest.mark.parametrize("kid", ["attacker", "key-1"])
def test_a_token_that_brings_its_own_key_is_refused_without_a_look_at_it(
    world: World, name: str, kid: str
) -> None:
    """CVE-2026-27962 (Authlib): the jwk header was trusted. Nor is a URL in a header ever fetched."""
    own = SigningKey(kid, name="attacker")
    value = {
        "jwk": own.jwk(),
        "jku": "https://evil.example/jwks",
        "x5u": "file:///etc/passwd",
        "x5c": [FORMS["x5c"].decode()],
    }[name]
    token = signed(own, header(own, **{name: value}), claims(world.clock.now))

    # A real certificate makes a header longer than any that is read: then it is refused by its length.
    expected = Reason.MALFORMED if len(token.split(".")[0]) > 1024 else Reason.HEADER_NOT_ALLOWED
    assert expected == refused(world.verifier(), token)
    assert 0 == world.endpoint.fetches


@pytest.mark.parametrize(
    "kid",
    [
        "../../etc/passwd",
        "https://evil.example/jwks",
        "key-1' OR '1'='1",
        "key-1/../key-1",
        "KEY-1",
        "key-1 ",
        "\uff4bey-1",
    ],
    ids=repr,
)
def test_a_key_id_is_looked_up_and_nothing_else(world: World, warm: Verifier, kid: str) -> None:
    """Key ids as paths, URLs or queries: only an equal one finds a key, and only the one URL is asked."""
    world.clock.move(1)
    token = signed(world.key, header(world.key, kid=kid), claims(world.clock.now))

    assert Reason.UNKNOWN_KEY == refused(warm, token)


# Claims.


@given(st.sampled_from(GOOGLE.iss_values), st.data())
@settings(deadline=None, max_examples=60)
def test_no_substring_of_the_issuer_is_the_issuer(whole: str, data: st.DataObject) -> None:
    """CVE-2024-53861 (PyJWT 2.10.0): 'iss' was looked for inside the expected issuer."""
    start = data.draw(st.integers(0, len(whole)))
    part = whole[start : data.draw(st.integers(start, len(whole)))]
    if part not in GOOGLE.iss_values:
        assert (Reason.WRONG_ISSUER, "iss") == refused_claim(shared, shared_world.token(iss=part))


shared_world = World()
shared = shared_world.verifier()
shared.verify(shared_world.token())


@pytest.mark.parametrize(
    "iss",
    [
        ["https://accounts.google.com"],
        [list(GOOGLE.iss_values)],
        [],
        0,
        1,
        True,
        False,
        {"https://accounts.google.com": 1},
    ],
    ids=repr,
)
def test_an_issuer_that_is_no_string_is_wrong(world: World, warm: Verifier, iss: object) -> None:
    """CVE-2025-30144 (fast-jwt): an array of issuers was accepted."""
    assert (Reason.WRONG_ISSUER, "iss") == refused_claim(warm, world.token(iss=iss))


@pytest.mark.parametrize("aud", [[AUDIENCE], [AUDIENCE, "https://other.example"], [], {}, 7, True], ids=repr)
def test_an_audience_that_is_no_string_is_invalid(world: World, warm: Verifier, aud: object) -> None:
    """Hono 4.10.2, isar #1158: an array in which any audience matched, or an error that did not say so."""
    assert (Reason.CLAIM_INVALID, "aud") == refused_claim(warm, world.token(aud=aud))


@pytest.mark.parametrize("audience", [None, "", [], [""], ()], ids=repr)
def test_a_verifier_without_an_audience_cannot_be_made(world: World, audience: Any) -> None:
    """Hono 4.10.2, clusterfuzz #5389: with no audience given, none was checked."""
    with pytest.raises(ConfigurationError, match="audience"):
        world.verifier(audience)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "text",
    [
        '"1790003600"',
        '"1_790_003_600"',
        "true",
        "[1790003600]",
        "{}",
        "-1",
        "-1e9",
        "1e30",
        "9" * 400,
        "253402300800",
        '""',
        "null",
    ],
    ids=lambda text: text[:14],
)
def test_a_time_is_a_number_of_this_age(world: World, warm: Verifier, name: str, text: str) -> None:
    """PyJWT took int(value) of whatever was there: strings with underscores, and 10 to the 400."""
    payload = json.dumps(claims(world.clock.now, **{name: 0}))
    assert payload.count(f'"{name}": 0') == 1
    changed = payload.replace(f'"{name}": 0', f'"{name}": {text}').encode()

    assert (Reason.CLAIM_INVALID, name) == refused_claim(warm, signed(world.key, header(world.key), changed))


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5000], ids=lambda text: text[:9]
)
def test_a_number_that_is_none_makes_the_payload_malformed(world: World, warm: Verifier, text: str) -> None:
    """json.loads takes NaN, which compares false with everything, and so never expires."""
    payload = json.dumps(claims(world.clock.now, exp=0)).replace('"exp": 0', f'"exp": {text}').encode()

    assert Reason.MALFORMED == refused(warm, signed(world.key, header(world.key), payload))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_a_payload_in_another_encoding_is_malformed(world: World, warm: Verifier, encoding: str) -> None:
    """json.loads guesses the encoding of bytes; what was checked and what is read must be one text."""
    payload = json.dumps(claims(world.clock.now)).encode(encoding)

    assert Reason.MALFORMED == refused(warm, signed(world.key, header(world.key), payload))


@pytest.mark.parametrize("first", [AUDIENCE, "https://evil.example"])
@pytest.mark.parametrize("name", ["aud", "\\u0061ud"], ids=["plain", "escaped"])
def test_a_claim_that_occurs_twice_makes_the_payload_malformed(
    world: World, warm: Verifier, first: str, name: str
) -> None:
    """Two readers, two audiences: the one checks the first, the other uses the last."""
    rest = json.dumps(claims(world.clock.now))
    payload = f'{{"{name}":{json.dumps(first)},{rest[1:]}'.encode()

    assert Reason.MALFORMED == refused(warm, signed(world.key, header(world.key), payload))


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udc00\\ud800"', '["\\ud800"]', '{"\\ud800": 1}'])
def test_a_lone_surrogate_makes_the_payload_malformed(world: World, warm: Verifier, text: str) -> None:
    """PyJWT let a UnicodeEncodeError out; a name that cannot be encoded breaks whoever logs it."""
    payload = json.dumps(claims(world.clock.now, name=0)).replace('"name": 0', f'"name": {text}').encode()

    assert Reason.MALFORMED == refused(warm, signed(world.key, header(world.key), payload))


def test_surrogates_in_the_text_of_a_token_are_malformed(warm: Verifier) -> None:
    """PyJWT let a UnicodeEncodeError out."""
    assert Reason.MALFORMED == refused(warm, "\ud800.\udfff.\ud800")


@pytest.mark.parametrize(
    "verified", [None, False, "true", "True", "yes", 1, 1.0, [True], {"0": True}], ids=repr
)
def test_an_email_that_is_not_verified_is_nobodys(world: World, warm: Verifier, verified: object) -> None:
    """django-cloudrun-iap: 'email' trusted without 'email_verified', or with anything truthy there."""
    principal: Principal = warm.verify(world.token(email_verified=verified))

    assert (None, None, PrincipalKind.ACCOUNT) == (principal.email, principal.member, principal.kind)


@pytest.mark.parametrize(
    ("email", "member"),
    [
        ("x@evil.com", "user:x@evil.com"),
        ("sa@proj.iam.gserviceaccount.com.evil.com", "user:sa@proj.iam.gserviceaccount.com.evil.com"),
        ("sa.proj.iam.gserviceaccount.com@evil.com", "user:sa.proj.iam.gserviceaccount.com@evil.com"),
        ("SA@PROJ.iam.gserviceaccount.com", "serviceAccount:sa@proj.iam.gserviceaccount.com"),
        ("\u212a@x.com", "user:\u212a@x.com"),
        ("sa@proj.iam.gserviceaccount.\u0441om", "user:sa@proj.iam.gserviceaccount.\u0441om"),
    ],
)
def test_a_service_account_is_told_by_the_end_of_the_whole_domain(
    world: World, warm: Verifier, email: str, member: str
) -> None:
    """django-cloudrun-iap: service accounts told by a regular expression somewhere in the address."""
    assert member == warm.verify(world.token(email=email)).member


@pytest.mark.parametrize(
    "email",
    [
        "a@evil.com@proj.iam.gserviceaccount.com",
        "sa@proj.iam.gserviceaccount.com@evil.com",
        "@@",
        "x",
        f"{CALLER}\n",
        f"{CALLER}\0",
        f" {CALLER}",
        [CALLER],
    ],
    ids=repr,
)
def test_an_email_with_more_than_one_reading_is_invalid(world: World, warm: Verifier, email: object) -> None:
    """Addresses whose domain depends on who looks."""
    assert (Reason.CLAIM_INVALID, "email") == refused_claim(warm, world.token(email=email))


# Spellings.


def signed_again(key: SigningKey, parts: list[str]) -> str:
    """Sign two segments as they are spelled, so that the spelling is all that is wrong with them."""
    signing_input = ".".join(parts[:2])
    return f"{signing_input}.{b64(key.sign(signing_input.encode()))}"


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize(
    "respell",
    [
        lambda text: text + "=",
        lambda text: text + "==",
        lambda text: text + "=" * (-len(text) % 4 or 4),
        lambda text: text + "\n",
        lambda text: "\n" + text,
        lambda text: text[:5] + "\r\n" + text[5:],
        lambda text: text[:5] + " " + text[5:],
        lambda text: text + "\t",
        lambda text: text + "\0",
        lambda text: text[:5] + "\u200b" + text[5:],
        lambda text: urllib.parse.quote(text[:1]) + "%" + f"{ord(text[1]):02X}" + text[2:],
        lambda text: text.translate({ord(c): ord(c) + 0xFEE0 for c in "abcdefgh"}),
    ],
    ids=[
        "=",
        "==",
        "padding",
        "newline",
        "newline before",
        "crlf",
        "space",
        "tab",
        "nul",
        "zero width",
        "quoted",
        "wide",
    ],
)
def test_no_other_spelling_of_a_remembered_token_is_accepted(
    world: World, warm: Verifier, segment: int, respell: Any
) -> None:
    """GHSA-hxm8-2xgr-2p9m (PyJWT): loose base64 made one token many."""
    parts = world.token().split(".")
    warm.verify(".".join(parts))
    parts[segment] = respell(parts[segment])
    twin = ".".join(parts)

    assert Reason.MALFORMED == refused(warm, twin)
    assert Reason.MALFORMED == refused(warm, signed_again(world.key, parts) if segment < 2 else twin)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_no_loose_bits_at_the_end_of_a_segment_are_accepted(
    world: World, warm: Verifier, segment: int, pad: int
) -> None:
    """GHSA-hxm8-2xgr-2p9m (PyJWT): the last character of a segment has bits that nobody looked at."""
    good = signed(world.key, header(world.key, pad="x" * pad), claims(world.clock.now, pad="x" * pad))
    warm.verify(good)
    parts = good.split(".")
    last = ALPHABET.index(parts[segment][-1])
    loose = {0: 0, 2: 4, 3: 2}[len(parts[segment]) % 4]
    for bits in range(1, 1 << loose):
        twin = [*parts]
        twin[segment] = parts[segment][:-1] + ALPHABET[last | bits]
        assert Reason.MALFORMED == refused(
            warm, signed_again(world.key, twin) if segment < 2 else ".".join(twin)
        )


def test_the_other_alphabet_of_base64_is_not_accepted(world: World, warm: Verifier) -> None:
    """GHSA-hxm8-2xgr-2p9m (PyJWT): '+' for '-', and '/' for '_'."""
    tried = 0
    for number in range(40):
        good = world.token(nonce=f"{number}???>>>\u00ff")
        head, payload, _ = good.split(".")
        other = f"{head}.{payload.replace('-', '+').replace('_', '/')}"
        if not good.startswith(other):
            warm.verify(good)
            assert Reason.MALFORMED == refused(warm, signed_again(world.key, other.split(".")))
            tried += 1
    assert tried


@pytest.mark.parametrize(
    "around", ["{} ", " {}", "{}\n", "\n{}", "{}.", "{}\0", "Bearer {}", '"{}"', "{}%0A"], ids=repr
)
def test_nothing_may_stand_around_a_token(world: World, warm: Verifier, around: str) -> None:
    """A token with white space at its end is another string under which it could be remembered."""
    good = world.token()
    warm.verify(good)

    assert Reason.MALFORMED == refused(warm, around.format(good))


# The memory of verified tokens.


def test_a_token_with_the_first_characters_of_a_remembered_one_is_not_it(
    world: World, warm: Verifier
) -> None:
    """CVE-2026-35030 (LiteLLM): remembered by its first 20 characters, which are the same for all."""
    good = world.token()
    warm.verify(good)
    head, payload, signature = good.split(".")
    other_claims = b64(
        json.dumps(claims(world.clock.now, email="root@doorward-test.iam.gserviceaccount.com")).encode()
    )

    for forged, why in (
        (f"{head}.{other_claims}.{signature}", Reason.BAD_SIGNATURE),
        (f"{head}.{payload[:-4]}.{signature}", Reason.BAD_SIGNATURE),
        (f"{head}.{payload}.{'A' * len(signature)}", Reason.BAD_SIGNATURE),
        (f"{head}.{payload}.{b64(base64.urlsafe_b64decode(signature + '==')[:-1])}", Reason.BAD_SIGNATURE),
    ):
        assert good[:20] == forged[:20]
        assert why == refused(warm, forged)


def test_a_token_remembered_for_one_audience_is_unknown_to_the_verifier_of_another(world: World) -> None:
    """lua-resty-openidc #399 and #569: one cache under two validators."""
    cache = world.cache(GOOGLE)
    orders = world.verifier(key_cache=lambda _: cache)
    billing = world.verifier("https://billing.example", key_cache=lambda _: cache)
    token = world.token()
    orders.verify(token)

    for _ in range(2):
        assert (Reason.WRONG_AUDIENCE, "aud") == refused_claim(billing, token)


@given(st.text(ALPHABET, min_size=1, max_size=6), st.text(ALPHABET, min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_claims_that_concatenate_alike_are_not_confused(one: str, other: str) -> None:
    """CVE-2026-35039 (fast-jwt): keys of a cache that collide give somebody else's claims."""
    for sub, name in ((one, other), (one + other, ""), ("x" + one, other)):
        token = shared_world.token(sub=sub, name=name)
        for _ in range(2):
            principal = shared.verify(token)
            assert (sub, name) == (principal.subject, principal.claims["name"])


def test_the_name_of_a_cached_token_is_a_sha256(world: World, warm: Verifier) -> None:
    """CVE-2026-35039 (fast-jwt), CVE-2026-35030 (LiteLLM)."""
    token = world.token(nonce="n")
    warm.verify(token)

    cached = engine_of(warm)._token_cache
    assert cached is not None
    assert hashlib.sha256(token.encode()).digest() in {**cached._young, **cached._old}


# Size and depth.


def test_a_token_of_half_a_gigabyte_is_refused_by_its_length(warm: Verifier) -> None:
    """CVE-2025-61920 (Authlib): a header of 500 MB took 9 s; here of 50 MB, and a small fraction of one."""
    huge = b"A" * 50_000_000

    start = time.perf_counter()
    assert Reason.TOKEN_TOO_LARGE == refused(warm, huge)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "token",
    [b"." * 1_000_000, b"a." * 500_000, b"eyJ." * 250_000],
    ids=["dots", "letters", "headers"],
)
@pytest.mark.parametrize("limit", [16 * 1024, 10_000_000], ids=["usual limit", "raised limit"])
def test_a_million_dots_are_not_split(world: World, token: bytes, limit: int) -> None:
    """CVE-2025-30204 (golang-jwt): a split without a bound."""
    expected = Reason.TOKEN_TOO_LARGE if limit < len(token) else Reason.MALFORMED

    assert expected == refused(world.verifier(max_token_bytes=limit), token)


def test_a_token_of_16_kib_and_a_byte_is_refused_though_it_is_good(world: World, warm: Verifier) -> None:
    """CVE-2025-61920 (Authlib), joserfc #102: the cap is on every path, and comes first."""
    bare = len(world.token(pad=""))
    pads = range((16 * 1024 - bare) * 3 // 4 - 4, (16 * 1024 - bare) * 3 // 4 + 5)
    tokens = [world.token(pad="x" * pad) for pad in pads]
    fitting = [token for token in tokens if len(token) <= 16 * 1024]
    over = [token for token in tokens if len(token) > 16 * 1024]

    assert fitting
    assert over
    assert warm.verify(fitting[-1]).subject
    assert Reason.TOKEN_TOO_LARGE == refused(warm, over[0])


DEEP = 100_000


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"a":' * DEEP,
        b"[" * DEEP,
    ],
    ids=["objects", "arrays", "open objects", "open arrays"],
)
@pytest.mark.parametrize("where", ["header", "payload", "unsigned payload"])
def test_a_hundred_thousand_levels_are_one_typed_error(world: World, text: bytes, where: str) -> None:
    """PyJWT 2.15, CVE-2025-53864 (Nimbus): a RecursionError that left the library."""
    verifier = world.verifier(max_token_bytes=10_000_000)
    verifier.verify(world.token())
    if where == "header":
        token = signed(world.key, text, claims(world.clock.now))
    elif where == "payload":
        token = signed(world.key, header(world.key), text)
    else:
        token = signed(SigningKey("unknown"), header(SigningKey("unknown")), text)

    # Of a payload as long as that, nothing is read for a stranger.
    unread = where == "unsigned payload"
    assert (Reason.UNKNOWN_KEY if unread else Reason.MALFORMED) == refused(verifier, token)


@pytest.mark.parametrize("depth", [50, 200, 330, 500, 700, 900, 980, 1100])
@pytest.mark.parametrize("name", ["iss", "aud", "exp", "sub", "email", "hd", "other"])
@pytest.mark.parametrize("kid", ["key-1", "unknown"])
@pytest.mark.parametrize("shape", ["objects", "arrays"])
def test_a_claim_of_any_depth_within_the_size_is_a_principal_or_a_refusal(
    *, world: World, warm: Verifier, depth: int, name: str, kid: str, shape: str
) -> None:
    """PyJWT 2.15, CVE-2025-53864 (Nimbus): not only reading, also quoting a nested claim recurses."""
    world.clock.move(1)
    begin, end = ('{"a":', "}") if shape == "objects" else ("[", "]")
    nested = begin * depth + "1" + end * depth
    payload = (
        json.dumps(claims(world.clock.now, **{name: 0}))
        .replace(f'"{name}": 0', f'"{name}": {nested}')
        .encode()
    )
    token = signed(world.key, header(world.key, kid=kid), payload)

    try:
        principal = warm.verify(token)
    except RefusedError as error:
        assert error.reason in (  # noqa: PT017 - the deepest are malformed, the others depend on the claim
            Reason.MALFORMED,
            Reason.WRONG_ISSUER,
            Reason.CLAIM_INVALID,
            Reason.UNKNOWN_KEY,
        )
    else:
        assert name in ("hd", "other")
        assert principal.subject


def test_a_huge_token_is_not_echoed(warm: Verifier, caplog: pytest.LogCaptureFixture) -> None:
    """CVE-2025-65015 (joserfc): the whole token in the message of the error."""
    with caplog.at_level(logging.DEBUG), pytest.raises(TokenError) as caught:
        warm.verify("secret" * 100_000)

    assert "secretsecret" not in caplog.text + str(caught.value) + repr(caught.value)
    assert len(repr(caught.value)) < 500


def test_a_verified_claim_is_quoted_with_a_bound(world: World, warm: Verifier) -> None:
    """CVE-2025-65015 (joserfc): a message as long as the attacker likes."""
    with pytest.raises(TokenError) as caught:
        warm.verify(world.token(aud="x" * 10_000))

    assert (Reason.WRONG_AUDIENCE, "aud") == (caught.value.reason, caught.value.claim)
    assert len(str(caught.value)) < 700


def test_random_key_ids_cost_few_fetches_and_no_key(world: World, warm: Verifier) -> None:
    """CVE-2026-48522 to -48526 (PyJWT): a flood of unknown key ids, and a cache wiped by an error."""
    world.clock.move(1)
    for number in range(50):
        token = signed(world.key, header(world.key, kid=f"random-{number}"), claims(world.clock.now))
        reason = Reason.UNKNOWN_KEY if number < 3 else Reason.KEY_NOT_FETCHED  # the burst of the budget
        assert reason == refused(warm, token)
    fetches = world.endpoint.fetches
    world.endpoint.down()

    assert fetches <= 1 + 3
    assert warm.verify(world.token(sub="2")).subject


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=200)
def test_no_bytes_raise_anything_but_a_token_error(raw: bytes) -> None:
    """CVE-2026-34986 (go-jose), CVE-2019-12995 (Istio): a crafted token that brings the process down."""
    for token in (raw, b".".join((b64(raw).encode(),) * 3), f"{b64(raw)}.{b64(raw)}.AAAA".encode()):
        with pytest.raises(TokenError):
            shared.verify(token)
