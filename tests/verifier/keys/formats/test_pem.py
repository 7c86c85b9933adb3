"""The other form of key endpoints: one certificate or public key in PEM form for each key id."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, Issuer, KeysUnavailableError, Reason, Verifier
from doorward.errors import FetchError, SignatureError
from doorward.keys.formats.keyset import KeySet, RefusedKey, parse_key_set
from doorward.keys.formats.pem import read_pem
from doorward.keys.key import VerificationKey
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from support.clock import ManualClock
from support.tokens import AUDIENCE, MEMBER, SigningKey, claims, header, rsa_key, signed, token
from support.world import World

RS: tuple[str, ...] = ("RS256",)
ES: tuple[str, ...] = ("ES256",)
BOTH: tuple[str, ...] = ("RS256", "ES256")
NOW = ManualClock().now
DAY = timedelta(days=1)
GOOD = SigningKey("good")
OTHER = SigningKey("other")
CURVE = SigningKey("curve", "ES256")
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon.system.gserviceaccount.com")])
INPUT = b"eyJhbGciOiJSUzI1NiJ9.e30"
SIGNED = sha256(INPUT).digest()

Publish = Callable[[Mapping[str, str]], None]

Private = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | x25519.X25519PrivateKey
)


def public(private: Private) -> str:
    made = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made.decode()


def certificate(
    private: Private,
    begin: timedelta = -DAY,
    end: timedelta = 16 * DAY,
    signer: rsa.RSAPrivateKey | None = None,
) -> str:
    """Make a certificate whose validity counts from the tests' now."""
    now = datetime.fromtimestamp(NOW, tz=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
    )
    return builder.sign(signer or rsa_key("authority"), SHA256()).public_bytes(Encoding.PEM).decode()


def block(label: str, der: bytes) -> str:
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n"


def der(pem: str) -> bytes:
    return base64.b64decode("".join(pem.split("\n")[1:-2]))


# The algorithm of the key is one that does not exist.
UNKNOWN_DER = der(public(GOOD.private)).replace(
    bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d01017f")
)


def published(document: Mapping[str, object], algorithms: tuple[str, ...] = RS) -> KeySet:
    return parse_key_set(json.dumps(document).encode(), algorithms, NOW)


def why(text: object, algorithms: tuple[str, ...] = RS) -> str:
    """Publish a text beside a good key, and give the reason for which only it is not used."""
    good = GOOD if "RS256" in algorithms else CURVE
    found = published({"odd": text, good.kid: public(good.private)}, algorithms)
    assert [good.kid] == list(found.keys)
    (refused,) = found.refused
    assert "odd" == refused.kid
    return refused.why


def whole_refusal(body: bytes, algorithms: tuple[str, ...] = RS) -> str:
    with pytest.raises(FetchError) as caught:
        parse_key_set(body, algorithms, NOW)
    assert "content" == caught.value.stage
    return caught.value.message


class TestForms:
    def test_certificates_by_key_id_are_a_key_set(self) -> None:
        """As ``https://www.googleapis.com/oauth2/v1/certs`` publishes them."""
        document = {key.kid: certificate(key.private) for key in (GOOD, OTHER)}
        found = published(document)

        assert [GOOD.kid, OTHER.kid] == list(found.keys)
        assert ("RS256", ()) == (found.keys[GOOD.kid].alg, found.refused)
        assert found.keys[GOOD.kid].verify(GOOD.sign(INPUT), SIGNED)
        assert not found.keys[OTHER.kid].verify(GOOD.sign(INPUT), SIGNED)

    def test_public_keys_by_key_id_are_a_key_set(self) -> None:
        """As ``https://www.gstatic.com/iap/verify/public_key`` publishes them, on the curve P-256."""
        found = published({CURVE.kid: public(CURVE.private)}, ES)

        assert ("ES256", ()) == (found.keys[CURVE.kid].alg, found.refused)
        assert found.keys[CURVE.kid].verify(CURVE.sign(INPUT), SIGNED)

    def test_both_forms_and_both_types_may_stand_in_one_set(self) -> None:
        found = published({GOOD.kid: public(GOOD.private), CURVE.kid: certificate(CURVE.private)}, BOTH)

        assert {"good": "RS256", "curve": "ES256"} == {kid: key.alg for kid, key in found.keys.items()}

    def test_the_order_of_the_algorithms_does_not_matter(self) -> None:
        found = published({GOOD.kid: public(GOOD.private), CURVE.kid: public(CURVE.private)}, BOTH[::-1])

        assert {"good": "RS256", "curve": "ES256"} == {kid: key.alg for kid, key in found.keys.items()}

    @pytest.mark.parametrize("form", [public, certificate])
    def test_a_key_is_the_same_in_every_form(self, form: Callable[[Private], str]) -> None:
        jwks = parse_key_set(json.dumps({"keys": [GOOD.jwk()]}).encode(), RS, NOW)

        assert jwks == published({GOOD.kid: form(GOOD.private)})

    @pytest.mark.parametrize("form", [public, certificate])
    @pytest.mark.parametrize(
        "change",
        [
            lambda pem: pem.replace("\n", "\r\n"),
            lambda pem: pem.strip(),
            lambda pem: f"\n \t{pem}\r\n\n",
        ],
        ids=["crlf", "no-end-of-line", "blanks-around"],
    )
    def test_line_ends_and_blanks_around_do_not_matter(
        self, form: Callable[[Private], str], change: Callable[[str], str]
    ) -> None:
        found = published({GOOD.kid: change(form(GOOD.private))})

        assert found.keys[GOOD.kid].verify(GOOD.sign(INPUT), SIGNED)


class TestCertificates:
    """A certificate is an envelope: what vouches for the key is the endpoint."""

    @pytest.mark.parametrize(
        ("begin", "end"),
        [(timedelta(0), DAY), (-DAY, timedelta(0)), (-3650 * DAY, 3650 * DAY)],
        ids=["from-now", "until-now", "decades"],
    )
    def test_both_ends_of_the_validity_belong_to_it(self, begin: timedelta, end: timedelta) -> None:
        found = published({GOOD.kid: certificate(GOOD.private, begin, end)})

        assert [GOOD.kid] == list(found.keys)

    @pytest.mark.parametrize(
        ("begin", "end"),
        [(-2 * DAY, -DAY), (-DAY, -timedelta(seconds=1)), (timedelta(seconds=1), DAY)],
        ids=["expired", "just-expired", "not-yet"],
    )
    def test_a_certificate_that_is_not_valid_now_is_refused_alone(
        self, begin: timedelta, end: timedelta
    ) -> None:
        assert "a certificate that is not valid now" == why(certificate(GOOD.private, begin, end))

    def test_a_set_of_certificates_that_are_all_expired_is_refused_whole(self) -> None:
        document = {"a": certificate(GOOD.private, -2 * DAY, -DAY)}
        expected = "the key set holds no usable key: a certificate that is not valid now"

        assert expected == whole_refusal(json.dumps(document).encode())

    def test_who_signed_a_certificate_does_not_matter(self) -> None:
        found = published({GOOD.kid: certificate(GOOD.private, signer=rsa_key("another"))})

        assert [GOOD.kid] == list(found.keys)

    def test_a_weak_signature_on_a_certificate_does_not_matter(self) -> None:
        """SHA-1 over the same content, as an authority of another age would have signed."""
        strong = der(certificate(GOOD.private))
        parsed = x509.load_der_x509_certificate(strong)
        sha256_rsa = bytes.fromhex("300d06092a864886f70d01010b0500")
        sha1_rsa = bytes.fromhex("300d06092a864886f70d0101050500")
        content = parsed.tbs_certificate_bytes.replace(sha256_rsa, sha1_rsa)
        signature = rsa_key("authority").sign(content, padding.PKCS1v15(), SHA1())
        weak = strong.replace(parsed.tbs_certificate_bytes, content).replace(sha256_rsa, sha1_rsa)
        weak = weak.replace(parsed.signature, signature)
        assert "sha1" == getattr(x509.load_der_x509_certificate(weak).signature_hash_algorithm, "name", "")

        assert [GOOD.kid] == list(published({GOOD.kid: block("CERTIFICATE", weak)}).keys)

    def test_a_broken_signature_on_a_certificate_does_not_matter(self) -> None:
        broken = bytearray(der(certificate(GOOD.private)))
        broken[-1] ^= 1

        assert [GOOD.kid] == list(published({GOOD.kid: block("CERTIFICATE", bytes(broken))}).keys)


class TestSingleRefusals:
    @pytest.mark.parametrize("form", [public, certificate])
    @pytest.mark.parametrize(
        ("private", "algorithms", "expected"),
        [
            (rsa_key("weak", 1024), RS, "an RSA key of 1024 bits; from 2048 to 8192 are accepted"),
            (rsa_key("weak", 1024), BOTH, "an RSA key of 1024 bits; from 2048 to 8192 are accepted"),
            (rsa_key("three", 2048, 3), RS, "an RSA exponent of '3'"),
            (ec.generate_private_key(ec.SECP384R1()), ES, "not on the curve P-256"),
            (ec.generate_private_key(ec.SECP384R1()), BOTH, "not on the curve P-256"),
            (ec.generate_private_key(ec.SECP256K1()), ES, "not on the curve P-256"),
            (ec.generate_private_key(ec.SECP256R1()), RS, "of a type that RS256 cannot use"),
            (rsa_key("good"), ES, "of a type that ES256 cannot use"),
            (ed25519.Ed25519PrivateKey.generate(), BOTH, "of a type that RS256, ES256 cannot use"),
            (ed448.Ed448PrivateKey.generate(), BOTH, "of a type that RS256, ES256 cannot use"),
            (x25519.X25519PrivateKey.generate(), BOTH, "of a type that RS256, ES256 cannot use"),
        ],
        ids=[
            "rsa-1024", "rsa-1024-both", "exponent-3", "p-384", "p-384-both", "secp256k1", "ec-for-rs256",
            "rsa-for-es256", "ed25519", "ed448", "x25519",
        ],
    )  # fmt: skip
    def test_a_key_that_the_issuer_cannot_sign_with_is_refused_alone(
        self,
        form: Callable[[Private], str],
        private: Private,
        algorithms: tuple[str, ...],
        expected: str,
    ) -> None:
        assert expected == why(form(private), algorithms)

    def test_an_unknown_key_type_is_refused_alone(self) -> None:
        assert "of a type that is not supported" == why(block("PUBLIC KEY", UNKNOWN_DER))

    def test_a_certificate_over_an_unknown_key_type_is_refused_alone(self) -> None:
        unknown = der(certificate(CURVE.private)).replace(
            bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d027f")
        )

        assert "of a type that is not supported" == why(block("CERTIFICATE", unknown))

    def test_a_certificate_of_a_version_that_does_not_exist_is_refused_alone(self) -> None:
        odd = der(certificate(GOOD.private)).replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020109"))

        assert "not a certificate or a public key in PEM form" == why(block("CERTIFICATE", odd))

    def test_a_warning_about_a_key_costs_that_key_alone_where_warnings_are_errors(self) -> None:
        """A serial number below zero is one that ``cryptography`` warns of."""
        made = der(certificate(GOOD.private))
        serial = made.index(bytes.fromhex("a003020102")) + 5
        assert 2 == made[serial]  # the tag of an integer; its first byte of content comes after its length
        odd = made[: serial + 2] + bytes([made[serial + 2] | 0x80]) + made[serial + 3 :]

        assert "not a certificate or a public key in PEM form" == why(block("CERTIFICATE", odd))

    @pytest.mark.parametrize(
        "value", [None, True, 1, 1.5, [], {}, [public(GOOD.private)]], ids=lambda value: type(value).__name__
    )
    def test_what_is_no_text_is_refused_alone(self, value: object) -> None:
        assert "not a text in PEM form" == why(value)

    @pytest.mark.parametrize(
        "change",
        [
            lambda _: "",
            lambda _: "RSA",
            lambda pem: f"subject=/CN=owner\n{pem}",
            lambda pem: f"{pem}and so on\n",
            lambda pem: f"\N{NO-BREAK SPACE}{pem}",
            lambda pem: pem.replace("-----BEGIN", "----BEGIN"),
            lambda pem: pem.replace("BEGIN", "begin"),
            lambda pem: pem.replace("END CERTIFICATE", "END PUBLIC KEY"),
            lambda pem: pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            lambda pem: pem.replace("CERTIFICATE", "PUBLIC KEY"),
            lambda pem: pem.replace("-----\n", "-----\nProc-Type: 4,CLEAR\n\n", 1),
            lambda pem: pem[: len(pem) // 2],
            lambda pem: pem.replace("M", "*", 1),
            lambda pem: block("CERTIFICATE", der(pem)[:-1]),
            lambda pem: block("CERTIFICATE", der(pem) + b"\0"),
            lambda _: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
            lambda _: "-----BEGIN CERTIFICATE-----\n====\n-----END CERTIFICATE-----\n",
            lambda pem: "".join(pem.splitlines()[1:-1]),
        ],
        ids=[
            "nothing", "word", "text-before", "text-after", "odd-blank", "four-dashes", "lower-case",
            "other-end", "trusted", "mislabelled", "headers", "half", "no-base64", "cut-der", "longer-der",
            "no-content", "padding", "no-armour",
        ],
    )  # fmt: skip
    def test_what_is_not_exactly_one_block_is_refused_alone(self, change: Callable[[str], str]) -> None:
        assert "not a certificate or a public key in PEM form" == why(change(certificate(GOOD.private)))

    @pytest.mark.parametrize("first", [public, certificate])
    @pytest.mark.parametrize("second", [public, certificate])
    def test_two_blocks_under_one_key_id_are_refused_alone(
        self, first: Callable[[Private], str], second: Callable[[Private], str]
    ) -> None:
        """Which one is meant would be a matter of taste; also of a chain only its first one could be."""
        expected = "more than one block in PEM form: which one is meant is not known"

        assert expected == why(first(GOOD.private) + second(OTHER.private))

    @pytest.mark.parametrize("kid", ["", "k" * 257], ids=["empty", "long"])
    def test_a_key_without_a_sensible_key_id_is_refused_alone(self, kid: str) -> None:
        found = published({kid: public(OTHER.private), GOOD.kid: public(GOOD.private)})

        assert [GOOD.kid] == list(found.keys)
        assert (RefusedKey(kid, "no key id of 1 to 256 characters"),) == found.refused


def private_pem(style: PrivateFormat, secret: str = "") -> str:
    encryption = BestAvailableEncryption(secret.encode()) if secret else NoEncryption()
    return GOOD.private.private_bytes(Encoding.PEM, style, encryption).decode()


class TestWholeRefusals:
    @pytest.mark.parametrize(
        "leak",
        [
            private_pem(PrivateFormat.PKCS8),
            private_pem(PrivateFormat.PKCS8, "made-up"),
            private_pem(PrivateFormat.TraditionalOpenSSL),
            private_pem(PrivateFormat.OpenSSH),
            certificate(GOOD.private) + private_pem(PrivateFormat.PKCS8),
            private_pem(PrivateFormat.PKCS8) + certificate(GOOD.private),
            "-----BEGIN PGP PRIVATE KEY BLOCK-----",
            private_pem(PrivateFormat.PKCS8)[:100],
        ],
        ids=["pkcs8", "encrypted", "rsa", "openssh", "after", "before", "pgp", "cut-off"],
    )
    def test_a_private_key_anywhere_costs_the_whole_set(self, leak: str) -> None:
        document = {"good": public(OTHER.private), "leak": leak}
        message = whole_refusal(json.dumps(document).encode())

        assert "the key set shows a private key: refused whole" == message

    def test_one_key_id_twice_costs_the_whole_set(self) -> None:
        """Key ids are member names here, and two readers of such a text may understand two things."""
        one, two = (json.dumps(public(key.private)) for key in (GOOD, OTHER))
        expected = "the key set is not usable JSON: a member name occurs twice"

        assert expected == whole_refusal(f'{{"a": {one}, "a": {two}}}'.encode())

    def test_more_keys_than_anybody_publishes_cost_the_whole_set(self) -> None:
        document = {f"key-{index}": "" for index in range(257)}
        expected = "the key set holds 257 keys, over the 256 accepted"

        assert expected == whole_refusal(json.dumps(document).encode())

    def test_nothing_of_a_text_is_repeated_in_the_reason(self) -> None:
        body = json.dumps({"a": "hunter2-" * 20}).encode()

        assert "hunter2" not in whole_refusal(body)


CERTIFICATE_DER = der(certificate(GOOD.private))
PUBLIC_DER = der(public(CURVE.private))


class TestHostileTexts:
    @settings(deadline=None, max_examples=200)
    @given(text=st.text(max_size=300) | st.text("-BEGIN CRTFAPULKYD\n=", max_size=300))
    def test_no_text_raises(self, text: str) -> None:
        assert isinstance(read_pem("a", text, BOTH, NOW), str)

    @settings(deadline=None, max_examples=300)
    @given(
        label=st.sampled_from(["CERTIFICATE", "PUBLIC KEY"]),
        changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4),
    )
    def test_no_damage_to_the_bytes_raises(self, label: str, changes: list[tuple[int, int]]) -> None:
        made = bytearray(CERTIFICATE_DER if label == "CERTIFICATE" else PUBLIC_DER)
        for place, value in changes:
            made[place % len(made)] = value

        assert isinstance(read_pem("a", block(label, bytes(made)), BOTH, NOW), str | VerificationKey)


def issuer(*algorithms: str, key_url: str = "https://keys.example/pem") -> Issuer:
    """Google's issuer, but for where its keys are."""
    return replace(GOOGLE, key_url=key_url, algorithms=algorithms)


class TestEndToEnd:
    @pytest.fixture
    def publish(self, world: World) -> Publish:
        def publish(document: Mapping[str, str]) -> None:
            world.endpoint.body = json.dumps(document).encode()

        return publish

    @pytest.mark.parametrize("key", [GOOD, CURVE], ids=["RS256", "ES256"])
    @pytest.mark.parametrize("form", [public, certificate])
    def test_a_token_is_verified_with_a_key_in_either_form(
        self, world: World, publish: Publish, key: SigningKey, form: Callable[[Private], str]
    ) -> None:
        publish({key.kid: form(key.private)})
        principal = world.verifier(issuers=[issuer(key.alg)]).verify(token(key, NOW))

        assert (MEMBER, 1) == (principal.member, world.endpoint.fetches)

    def test_a_token_of_another_key_is_not_good(self, world: World, publish: Publish) -> None:
        publish({GOOD.kid: certificate(GOOD.private)})
        forged = signed(OTHER, header(OTHER, kid=GOOD.kid), claims(NOW))
        with pytest.raises(SignatureError) as caught:
            world.verifier(issuers=[issuer(*RS)]).verify(forged)

        assert Reason.BAD_SIGNATURE is caught.value.reason

    def test_a_token_under_an_expired_certificate_is_of_an_unknown_key(
        self, world: World, publish: Publish
    ) -> None:
        expired = certificate(GOOD.private, -2 * DAY, -DAY)
        publish({GOOD.kid: expired, OTHER.kid: certificate(OTHER.private)})
        verifier = world.verifier(issuers=[issuer(*RS)])

        assert MEMBER == verifier.verify(token(OTHER, NOW)).member
        with pytest.raises(SignatureError) as caught:
            verifier.verify(token(GOOD, NOW))
        assert Reason.UNKNOWN_KEY is caught.value.reason

    def test_a_set_with_a_private_key_makes_the_keys_unavailable(
        self, world: World, publish: Publish
    ) -> None:
        publish({GOOD.kid: certificate(GOOD.private), "leak": private_pem(PrivateFormat.PKCS8)})
        with pytest.raises(KeysUnavailableError, match="private key"):
            world.verifier(issuers=[issuer(*RS)]).verify(token(GOOD, NOW))

    def test_a_key_of_a_type_to_come_does_not_cost_the_others(self, world: World, publish: Publish) -> None:
        publish({"new": block("PUBLIC KEY", UNKNOWN_DER), GOOD.kid: public(GOOD.private)})

        assert MEMBER == world.verifier(issuers=[issuer(*RS)]).verify(token(GOOD, NOW)).member

    def test_the_certificates_of_the_emulator_verify_its_tokens(self) -> None:
        emulator = Emulator()
        with emulator.serve() as server:
            there = issuer(*RS, key_url=f"{server.url}/oauth2/v1/certs")
            verifier = Verifier(AUDIENCE, issuers=[there])
            principal = verifier.verify(emulator.issuer.mint(AUDIENCE))

        assert f"serviceAccount:{DEFAULT_ACCOUNT}" == principal.member
        (cache,) = verifier.key_caches
        assert (sorted(emulator.issuer.certificates()), 1) == (cache.health()["kids"], emulator.certs.fetches)
