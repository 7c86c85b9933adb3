"""Keys that are given once: from bytes, from a file, from a dictionary; and verifying with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from doorward import ConfigurationError, FixedKeys, Issuer, Reason, Verifier
from doorward.errors import SignatureError
from doorward.keys.fixed import NO_KEYS
from support.clock import ManualClock
from support.simulator import APIS, Api
from support.tokens import AUDIENCE, CALLER, SigningKey, b64, jwks, token

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")
EC = SigningKey("ec", "ES256")
LIMIT = 256 * 1024

each_api = pytest.mark.parametrize("api", APIS, ids=str)


def from_bytes(body: bytes, _folder: Path, *settings: Any) -> FixedKeys:
    return FixedKeys(body, *settings)


def from_file(body: bytes, folder: Path, *settings: Any) -> FixedKeys:
    path = folder / "keys.json"
    path.write_bytes(body)
    return FixedKeys.from_file(path, *settings)


def from_dict(body: bytes, _folder: Path, *settings: Any) -> FixedKeys:
    return FixedKeys.from_dict(json.loads(body), *settings)


each_way = pytest.mark.parametrize("make", [from_bytes, from_file, from_dict])
Make = Callable[..., FixedKeys]


@each_way
class TestReading:
    def test_a_key_set_is_read(self, make: Make, tmp_path: Path) -> None:
        keys = make(jwks(KEY, OTHER), tmp_path)

        assert ["key-1", "key-2"] == sorted(keys.keys(0.0))
        assert "key-1" == keys.get("key-1").kid
        assert "FixedKeys(['key-1', 'key-2'])" == repr(keys)

    def test_only_the_algorithms_of_the_issuer_count(self, make: Make, tmp_path: Path) -> None:
        assert ["key-1"] == list(make(jwks(KEY, EC), tmp_path).keys(0.0))
        assert ["ec"] == list(make(jwks(KEY, EC), tmp_path, ("ES256",)).keys(0.0))

    @pytest.mark.parametrize(
        "private",
        [SigningKey("leaked").jwk(d=b64(b"1" * 256)), {"kty": "oct", "kid": "k", "k": b64(b"1" * 32)}],
    )
    def test_a_set_that_shows_private_or_symmetric_members_is_refused_whole(
        self, make: Make, tmp_path: Path, private: dict[str, Any]
    ) -> None:
        with pytest.raises(ConfigurationError, match="private or symmetric key material") as caught:
            make(jwks(KEY, private), tmp_path)
        assert b64(b"1" * 32) not in str(caught.value)

    @pytest.mark.parametrize("document", [{"keys": []}, {}, {"keys": "key-1"}, {"key-1": "no PEM"}], ids=str)
    def test_what_is_no_usable_key_set_is_refused(
        self, make: Make, tmp_path: Path, document: dict[str, Any]
    ) -> None:
        with pytest.raises(ConfigurationError, match="not a usable key set"):
            make(json.dumps(document).encode(), tmp_path)

    @pytest.mark.parametrize("algorithms", [(), ("HS256",), ("none",), "RS256"], ids=str)
    def test_an_algorithm_that_does_not_exist_here_is_refused(
        self, make: Make, tmp_path: Path, algorithms: Any
    ) -> None:
        with pytest.raises(ConfigurationError, match="algorithms must be a tuple"):
            make(jwks(KEY), tmp_path, algorithms)


class TestBytes:
    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"keys": [], "keys": []}'], ids=repr)
    def test_what_is_not_strict_json_is_refused(self, body: bytes) -> None:
        with pytest.raises(ConfigurationError, match="not a usable key set"):
            FixedKeys(body)

    def test_certificates_must_be_valid_at_the_time_that_is_given(self) -> None:
        with pytest.raises(ConfigurationError, match="no usable key"):
            FixedKeys(
                json.dumps({"key-1": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"}).encode(),
                wall=0.0,
            )


class TestFiles:
    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "missing.json"

        with pytest.raises(ConfigurationError) as caught:
            FixedKeys.from_file(path)
        assert f"the key file {str(path)!r} cannot be read: No such file or directory" == str(caught.value)

    @pytest.mark.parametrize("name", [".", "keys\0.json"], ids=repr)
    def test_what_cannot_be_read_as_a_file_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            FixedKeys.from_file(f"{tmp_path}/{name}")

    @pytest.mark.parametrize("size", [LIMIT, LIMIT + 1], ids=["limit", "over"])
    def test_the_size_limit_holds_to_the_byte(self, size: int, tmp_path: Path) -> None:
        body = jwks(KEY)
        body += b" " * (size - len(body))

        if size > LIMIT:
            with pytest.raises(
                ConfigurationError, match="it has 262,145 bytes, and may have 262,144 bytes at most"
            ):
                from_file(body, tmp_path)
        else:
            assert ["key-1"] == list(from_file(body, tmp_path).keys(0.0))

    def test_a_file_that_changes_later_changes_nothing(self, tmp_path: Path) -> None:
        keys = from_file(jwks(KEY), tmp_path)
        (tmp_path / "keys.json").write_bytes(jwks(OTHER))

        assert ["key-1"] == list(keys.keys(0.0))


class TestDictionaries:
    def test_a_read_only_mapping_is_read(self) -> None:
        document = MappingProxyType({"keys": [KEY.jwk()]})

        assert ["key-1"] == list(FixedKeys.from_dict(document).keys(0.0))

    @pytest.mark.parametrize(
        "document", [{"keys": [b"raw"]}, {"keys": {1, 2}}, {"keys": [float("nan")]}, ["keys"], 7], ids=str
    )
    def test_what_json_cannot_hold_is_refused(self, document: Any) -> None:
        with pytest.raises(ConfigurationError, match="key set"):
            FixedKeys.from_dict(document)

    def test_a_document_that_holds_itself_is_refused(self) -> None:
        document: dict[str, Any] = {}
        document["keys"] = [document]

        with pytest.raises(ConfigurationError, match="not a key set that JSON can hold"):
            FixedKeys.from_dict(document)


class TestAsking:
    @each_api
    def test_an_unknown_key_is_a_401(self, api: Api) -> None:
        with pytest.raises(SignatureError) as caught:
            api.get(FixedKeys(jwks(KEY)), "key-9")

        assert (Reason.UNKNOWN_KEY, 401) == (caught.value.reason, caught.value.reason.status)

    def test_an_error_repeats_only_the_start_of_a_key_id(self) -> None:
        with pytest.raises(SignatureError, match="'attack-attack-at'…") as caught:
            FixedKeys(jwks(KEY)).get("attack-" * 30)
        assert "attack-attack-att" not in str(caught.value)

    @each_api
    def test_warming_does_nothing(self, api: Api) -> None:
        keys = FixedKeys(jwks(KEY))
        api.warm(keys)

        assert ["key-1"] == list(keys.keys(0.0))

    def test_the_keys_cannot_be_changed(self) -> None:
        keys: Any = FixedKeys(jwks(KEY)).keys(0.0)

        with pytest.raises(TypeError, match="does not support item assignment"):
            keys["key-2"] = keys["key-1"]

    @each_api
    def test_a_source_without_keys_knows_none(self, api: Api) -> None:
        assert {} == NO_KEYS.keys(0.0)
        with pytest.raises(SignatureError):
            api.get(NO_KEYS, "key-1")


class TestVerifying:
    @each_way
    @each_api
    def test_a_token_is_verified_with_them(self, api: Api, make: Make, tmp_path: Path) -> None:
        clock = ManualClock()
        keys = make(jwks(KEY), tmp_path)
        verifier = Verifier(AUDIENCE, key_cache=lambda _: keys, clock=clock)
        one = token(KEY, clock.now)

        assert [CALLER, CALLER] == [api.verify(verifier, one).email for _ in range(2)]

    @each_api
    def test_a_token_of_another_key_is_refused(self, api: Api) -> None:
        clock = ManualClock()
        verifier = Verifier(AUDIENCE, key_cache=lambda _: FixedKeys(jwks(KEY)), clock=clock)

        with pytest.raises(SignatureError) as unknown:
            api.verify(verifier, token(OTHER, clock.now))
        with pytest.raises(SignatureError) as forged:
            api.verify(verifier, token(SigningKey("key-1", name="forger"), clock.now))
        assert (Reason.UNKNOWN_KEY, Reason.BAD_SIGNATURE) == (unknown.value.reason, forged.value.reason)

    @each_api
    def test_an_issuer_of_ones_own_is_verified_without_any_network(self, api: Api) -> None:
        clock = ManualClock()
        issuer = Issuer(
            name="own",
            iss_values=("https://issuer.example",),
            key_url="https://issuer.example/keys",
            algorithms=("ES256",),
        )
        verifier = Verifier(
            AUDIENCE,
            issuers=[issuer],
            key_cache=lambda one: FixedKeys(jwks(EC), one.algorithms),
            clock=clock,
        )

        assert (
            "https://issuer.example"
            == api.verify(verifier, token(EC, clock.now, iss="https://issuer.example")).claims["iss"]
        )
        assert () == verifier.key_caches
