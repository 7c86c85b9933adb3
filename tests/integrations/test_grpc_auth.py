"""ID tokens on gRPC calls, over real channels: local and TLS, with threads and with `grpc.aio`."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from doorward import ConfigurationError, Door, InvokerPolicy, Verifier
from doorward_integrations.calling import EmulatorSource, IdTokens
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, RunningEmulator
from doorward_integrations.grpc import InvokerInterceptor, current_principal
from doorward_integrations.grpc_auth import IdTokenPlugin, id_token_call_credentials
from support.calling import PATIENCE, FakeSource, Received, cache_of
from support.clock import ManualClock
from support.tokens import AUDIENCE, rsa_key

MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"
METHOD = "/shop.Orders/GetOrder"


def get_order(_: bytes, context: Any) -> bytes:
    seen = {one.key for one in context.invocation_metadata()}
    return f"{current_principal()} {sorted(seen & {'authorization', 'x-serverless-authorization'})}".encode()


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    with Emulator().serve() as running:
        yield running


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    """Return a key and a certificate of this machine, signed by itself."""
    key = rsa_key("tls")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, made.public_bytes(Encoding.PEM)


class Context(grpc.AuthMetadataContext):
    """A call to the service, as gRPC describes it to a plugin."""

    service_url = f"{AUDIENCE}/shop.Orders"
    method_name = "GetOrder"


class Served:
    """One server behind a door, on a local port and on one with TLS."""

    def __init__(self, certificate: tuple[bytes, bytes], server: Any) -> None:
        self.certificate = certificate[1]
        self.local = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
        self.tls = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([certificate]))

    def channel_credentials(self, kind: str, tokens: IdTokens, **settings: Any) -> Any:
        origins = f"http://127.0.0.1:{self.local}", f"https://127.0.0.1:{self.tls}"
        settings = {"origins": origins, **settings}
        call = id_token_call_credentials(AUDIENCE, tokens=tokens, **settings)
        channel = {
            "local": grpc.local_channel_credentials(),
            "tls": grpc.ssl_channel_credentials(self.certificate),
        }[kind]
        return grpc.composite_channel_credentials(channel, call)

    def call(self, kind: str, style: str, credentials: Any, times: int = 1) -> set[str]:
        target = f"127.0.0.1:{getattr(self, kind)}"
        if style == "threads":
            with grpc.secure_channel(target, credentials) as channel, ThreadPoolExecutor(times) as pool:
                method: Any = channel.unary_unary(METHOD)
                calls = [pool.submit(method, b"", timeout=PATIENCE) for _ in range(times)]
                return {one.result(PATIENCE).decode() for one in calls}

        async def main() -> set[str]:
            async with grpc.aio.secure_channel(target, credentials) as channel:
                method: Any = channel.unary_unary(METHOD)
                found = await asyncio.gather(*(method(b"", timeout=PATIENCE) for _ in range(times)))
                return {one.decode() for one in found}

        return asyncio.run(main())


@pytest.fixture(scope="module")
def served(emulator: RunningEmulator, certificate: tuple[bytes, bytes]) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOORWARD_EMULATOR_HOST", emulator.host)
        door = Door(Verifier(AUDIENCE), InvokerPolicy.from_members([MEMBER]))
    handler = grpc.method_handlers_generic_handler(
        "shop.Orders", {"GetOrder": grpc.unary_unary_rpc_method_handler(get_order)}
    )
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[handler], interceptors=[InvokerInterceptor(door)])
        one = Served(certificate, server)
        server.start()
        try:
            yield one
        finally:
            server.stop(None).wait(PATIENCE)


kinds = pytest.mark.parametrize("kind", ["local", "tls"])
styles = pytest.mark.parametrize("style", ["threads", "aio"])


@kinds
@styles
@pytest.mark.parametrize("key", ["authorization", "x-serverless-authorization"])
def test_a_call_is_admitted(
    served: Served, emulator: RunningEmulator, kind: str, style: str, key: str
) -> None:
    tokens = IdTokens(EmulatorSource(emulator.host))
    credentials = served.channel_credentials(kind, tokens, key=key)

    assert {f"{MEMBER} ['{key}']"} == served.call(kind, style, credentials)


@styles
def test_200_calls_at_once_cause_one_fetch(served: Served, emulator: RunningEmulator, style: str) -> None:
    tokens = IdTokens(EmulatorSource(emulator.host))
    credentials = served.channel_credentials("local", tokens)

    assert {f"{MEMBER} ['authorization']"} == served.call("local", style, credentials, times=200)
    assert [1] == [one["fetches"] for one in tokens.health()["audiences"]]


def test_the_event_loop_goes_on_while_a_token_is_fetched(served: Served) -> None:
    clock = ManualClock()
    source = FakeSource(clock)
    source.gate.clear()
    credentials = served.channel_credentials("local", cache_of(source, clock))

    async def main() -> grpc.StatusCode:
        async with grpc.aio.secure_channel(f"127.0.0.1:{served.local}", credentials) as channel:
            method: Any = channel.unary_unary(METHOD)
            call = method(b"", timeout=PATIENCE)
            assert await asyncio.to_thread(source.reached.wait, PATIENCE)
            source.gate.set()  # by the loop itself
            code: grpc.StatusCode = await call.code()
            return code

    assert grpc.StatusCode.UNAUTHENTICATED is asyncio.run(main())  # the token is signed by no key


@kinds
@styles
def test_a_call_without_a_token_fails_and_says_why(served: Served, kind: str, style: str) -> None:
    clock = ManualClock()
    source = FakeSource(clock)
    source.answer = lambda _: "garbage"
    credentials = served.channel_credentials(kind, cache_of(source, clock))
    with pytest.raises(grpc.RpcError) as caught:
        served.call(kind, style, credentials)

    failed: Any = caught.value
    assert grpc.StatusCode.UNAVAILABLE is failed.code()
    assert "what is no ID token" in failed.details()


@kinds
@styles
def test_another_target_gets_no_token(
    served: Served, emulator: RunningEmulator, kind: str, style: str
) -> None:
    tokens = IdTokens(EmulatorSource(emulator.host))
    for origins in ("http://127.0.0.1:1", "https://127.0.0.1:1", ()):
        credentials = served.channel_credentials(kind, tokens, origins=origins)
        with pytest.raises(grpc.RpcError, match="and not to"):
            served.call(kind, style, credentials)
    assert [] == tokens.health()["audiences"]


def test_grpc_sends_no_token_over_an_insecure_channel(served: Served, emulator: RunningEmulator) -> None:
    call = id_token_call_credentials(
        AUDIENCE, origins=f"http://127.0.0.1:{served.local}", tokens=IdTokens(EmulatorSource(emulator.host))
    )
    with grpc.insecure_channel(f"127.0.0.1:{served.local}") as channel:
        method: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError, match="sufficient security level"):
            method(b"", credentials=call, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("audience", "settings", "said"),
    [
        (None, {}, "is not an audience"),
        ("", {}, "is not an audience"),
        ("my-orders", {}, "where its tokens may be sent"),
        (AUDIENCE, {"origins": "http://orders.example"}, "without TLS"),
        (AUDIENCE, {"key": "cookie"}, "key must be one of"),
    ],
    ids=["none", "empty", "no URL", "plain http", "another key"],
)
def test_settings_that_cannot_work_are_refused(audience: Any, settings: Any, said: str) -> None:
    tokens = cache_of(FakeSource(ManualClock()), ManualClock())
    with pytest.raises(ConfigurationError, match=said):
        id_token_call_credentials(audience, tokens=tokens, **settings)


def test_a_thread_of_grpc_is_not_kept_by_a_fetch() -> None:
    clock = ManualClock()
    source = FakeSource(clock)
    source.gate.clear()
    plugin = IdTokenPlugin(AUDIENCE, tokens=cache_of(source, clock))
    received = Received(50)
    callback: Any = received
    for _ in range(50):
        plugin(Context(), callback)
    assert [] == received.got
    source.gate.set()

    assert received.all.wait(PATIENCE)
    assert {((("authorization", f"Bearer {plugin._tokens.get(AUDIENCE)}"),), None)} == set(received.got)


def test_tokens_must_be_a_cache() -> None:
    tokens: Any = "token"
    with pytest.raises(ConfigurationError, match="tokens must be IdTokens"):
        id_token_call_credentials(AUDIENCE, tokens=tokens)
