"""What holds for any bytes, as functions of bytes: for atheris, and for hypothesis in every run of the tests.

Each function returns if the property holds, and raises otherwise. Hostile input may be refused, with an error
of doorward's own tree or of the parser's own class; any other exception is a finding.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Final
from unittest import mock

import yaml

from doorward import (
    Admission,
    CloudRunAudience,
    ConfigurationError,
    CredentialError,
    DenyPolicy,
    Door,
    FetchError,
    InvokerPolicy,
    PlainRequest,
    Refusal,
    TokenError,
    find_iap_assertion,
)
from doorward.base64url import Base64Error, decode
from doorward.door.credentials import find_credential
from doorward.keys.formats.keyset import parse_key_set
from doorward.keys.http.freshness import freshness_of, validators_of
from doorward.policy.files.yaml_reader import read_yaml
from doorward.policy.membership.members import read_member
from doorward.policy.paths import readings_of
from doorward.policy.request import host_name
from doorward.strictjson import StrictJSONError, freeze, read_brief, read_members, read_object, thaw
from doorward.tokens import jws
from doorward_integrations.asgi import InvokerMiddleware as AsgiMiddleware
from doorward_integrations.wsgi import InvokerMiddleware as WsgiMiddleware
from support.tokens import AUDIENCE, MEMBER, SigningKey, claims, header, signed, token
from support.world import World

__all__ = ["PROPERTIES"]

Property = Callable[[bytes], None]

PROPERTIES: Final[dict[str, Property]] = {}


def holds(check: Property) -> Property:
    """Enter a property under its name."""
    PROPERTIES[check.__name__] = check
    return check


# Parsers.


@holds
def strict_json_has_one_reading(raw: bytes) -> None:
    try:
        found = read_object(raw)
    except StrictJSONError:
        return
    lax = json.loads(raw.decode())
    assert thaw(found) == lax
    assert freeze(lax) == found
    brief = read_brief(raw, 8)
    assert brief is None or brief == read_members(raw) == found


@holds
def base64url_has_one_encoding(raw: bytes) -> None:
    try:
        found = decode(raw)
    except Base64Error:
        return
    assert raw == base64.urlsafe_b64encode(found).rstrip(b"=")


@holds
def a_token_is_split_or_refused(raw: bytes) -> None:
    try:
        split = jws.split(raw)
        assert raw == split.header + b"." + split.payload + b"." + split.signature
        jws.read_header(split.header)
        split.read_unverified_claims()
        split.read_claims()
        split.decode_signature()
    except TokenError:
        return


@holds
def a_key_set_is_read_or_refused(raw: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of keys that cryptography finds odd
        try:
            found = parse_key_set(raw, ("RS256", "ES256"), 1_790_000_000.0)
        except FetchError:
            return
    assert found.keys
    assert all(kid == key.kid for kid, key in found.keys.items())


@holds
def a_policy_is_read_or_refused(raw: bytes) -> None:
    for read in (InvokerPolicy.from_json, InvokerPolicy.from_yaml):
        try:
            policy = read(raw)
        except ConfigurationError as error:
            assert len(str(error)) < 2_000  # noqa: PT017 - it repeats little of what it was given
            continue
        again = InvokerPolicy.from_dict(policy.to_dict())
        assert policy.to_dict() == again.to_dict()
        assert policy.public == again.public


@holds
def a_policy_reads_alike_in_every_encoding(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace").lstrip("\ufeff")
    for read in (InvokerPolicy.from_json, InvokerPolicy.from_yaml):
        found = [_document(read, one) for one in (text, text.encode(), text.encode("utf-8-sig"))]
        found.append(_document(read, codecs.BOM_UTF16_LE + text.encode("utf-16-le")))
        found.append(_document(read, codecs.BOM_UTF16_BE + text.encode("utf-16-be")))
        assert len({json.dumps(one, sort_keys=True) for one in found}) == 1


def _document(read: Callable[[Any], InvokerPolicy], text: str | bytes) -> dict[str, Any] | None:
    try:
        return read(text).to_dict()
    except ConfigurationError:
        return None


@holds
def yaml_has_one_reading(raw: bytes) -> None:
    found = []
    for in_c in (yaml.__with_libyaml__, False):
        with mock.patch.object(yaml, "__with_libyaml__", in_c), contextlib.suppress(ConfigurationError):
            found.append(read_yaml(raw))
    assert len(found) < 2 or found[0] == found[1]


@holds
def a_deny_policy_is_read_or_refused(raw: bytes) -> None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        try:
            DenyPolicy.from_dict(document)
        except ConfigurationError as error:
            assert len(str(error)) < 2_000  # noqa: PT017 - as above


@holds
def a_condition_is_compiled_or_refused(raw: bytes) -> None:
    from doorward.policy.conditions.condition import compile_condition  # noqa: PLC0415 - needs an extra

    try:
        condition = compile_condition(raw.decode("utf-8", "replace"))
    except ConfigurationError:
        return
    for path in ("/", "/admin", "/x/../admin"):
        assert condition.holds(PlainRequest(path), 1.0) in {True, False}


@holds
def a_member_is_read_or_refused(raw: bytes) -> None:
    try:
        member = read_member(raw.decode("utf-8", "replace"))
    except ConfigurationError as error:
        assert len(str(error)) < 2_000  # noqa: PT017 - as above
        return
    assert 1 == [member.key is None, member.group is None, member.never_reason is None].count(False)


AUDIENCES = CloudRunAudience(AUDIENCE, allow_tags=True)


@holds
def an_audience_of_cloud_run_is_one_of_its_hosts(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    if AUDIENCES.accepts(text):
        assert text.startswith("https://")
        host = text[8:].partition("/")[0]
        assert host == AUDIENCE[8:] or host.endswith(f"---{AUDIENCE[8:]}")


@holds
def a_credential_is_found_or_refused(raw: bytes) -> None:
    pairs = [tuple(line.partition(b":")[::2]) for line in raw.split(b"\n")]
    headers = [(name.lower(), value) for name, value in pairs]
    for find in (find_credential, find_iap_assertion):
        try:
            found = find(headers)
        except CredentialError:
            continue
        if found is not None:
            index, credential = found
            assert headers[index][0] in find.names
            assert credential
            assert credential in headers[index][1]


@holds
def a_host_is_a_name_or_nothing(raw: bytes) -> None:
    found = host_name(raw)
    assert found == found.lower()
    assert not set(found) & set("/@?# \t\r\n")


@holds
def an_answer_has_bounds_whatever_its_headers_say(raw: bytes) -> None:
    values = raw.decode("latin-1").split("\n")
    names = ("cache-control", "age", "expires", "date", "etag", "last-modified")
    headers: dict[str, str] = {name: value for name, value in zip(names, values, strict=False)}  # noqa: C416 - as text
    fresh = freshness_of(headers, 1_790_000_000.0, 86_400.0)
    assert 60 <= fresh.stale_after <= 86_400
    assert fresh.stale_after <= fresh.dead_after <= fresh.stale_after + 86_400
    assert all(value.isascii() for value in validators_of(headers).headers().values())


@holds
def a_path_has_readings_that_are_text(raw: bytes) -> None:
    path = "/" + raw.decode("utf-8", "surrogateescape")
    found = readings_of(path, raw.decode("latin-1"), ["/api"])
    assert not found or found[0] == path
    assert len(found) == len(set(found)) < 200
    for one in found:
        one.encode()


# The door. A request is drawn from the bytes; every way of asking must give the same answer.


class Draw:
    """Makes choices out of bytes; where they end, the first one."""

    def __init__(self, raw: bytes) -> None:
        self._raw = iter(raw)

    def one(self, choices: list[Any]) -> Any:
        return choices[next(self._raw, 0) % len(choices)]


WORLD = World()
NOW = WORLD.clock.now
STRANGER = SigningKey("key-1", name="stranger")
GOOD = WORLD.token().encode()
TOKENS = [
    GOOD,
    WORLD.token(email="other@example.com").encode(),
    WORLD.token(aud="https://other.example").encode(),
    WORLD.token(exp=int(NOW) - 60, iat=int(NOW) - 3000).encode(),
    WORLD.token(nbf=int(NOW) + 300).encode(),
    WORLD.token(note="x" * 3000).encode(),
    WORLD.token(nested={"a": [1, {"b": None}]}).encode(),
    token(STRANGER, NOW).encode(),
    signed(WORLD.key, header(WORLD.key, typ="at+jwt"), claims(NOW)).encode(),
    GOOD[:-3] + b"AAA",
    GOOD.rpartition(b".")[0] + b".SIGNATURE_REMOVED_BY_GOOGLE",
    b"ya29.access",
    b"",
    b"a.b.c",
    GOOD + b" " + GOOD,
]
SCHEMES = [b"Bearer ", b"bearer ", b"BEARER  ", b"Basic ", b"Bearer", b""]
NAMES = [
    b"authorization",
    b"x-serverless-authorization",
    b"x-goog-iap-jwt-assertion",
    b"x-goog-authenticated-user-email",
    b"x_serverless_authorization",
    b"host",
    b"x-other",
]
PATHS = [
    "/",
    "/admin",
    "/public/a",
    "/public/../admin",
    "//admin",
    "/x%2e%2e",
    "/public\\..\\admin",
    "/\udcff",
    "/healthz",
]
CONDITION = {"title": "t", "expression": '!request.path.startsWith("/admin")'}
POLICIES = [
    InvokerPolicy.from_members([MEMBER]),
    InvokerPolicy.all_users(),
    InvokerPolicy.all_authenticated_users(),
    InvokerPolicy.from_dict(
        {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"], "condition": CONDITION}]}
    ),
    InvokerPolicy.from_dict(
        {"bindings": [{"role": "roles/run.invoker", "members": [MEMBER], "condition": CONDITION}]}
    ),
]
EXEMPT = [("GET", "/healthz")]
COLD = [Door(WORLD.verifier(token_cache_size=0), policy, exempt=EXEMPT) for policy in POLICIES]
WARM = [Door(WORLD.verifier(), policy, exempt=EXEMPT) for policy in POLICIES]


def drawn(raw: bytes) -> tuple[int, list[tuple[bytes, bytes]], PlainRequest]:
    draw = Draw(raw)
    which = draw.one(list(range(len(POLICIES))))
    request = PlainRequest(draw.one(PATHS), draw.one(["GET", "POST", "HEAD", "OPTIONS"]))
    headers = []
    for _ in range(draw.one([1, 0, 2, 3])):
        name = draw.one(NAMES)
        headers.append((name, draw.one(SCHEMES) + draw.one(TOKENS)))
    return which, headers, request


def plain(outcome: Admission | Refusal) -> tuple[object, ...]:
    """Reduce an outcome to what a caller and an application see of it."""
    if isinstance(outcome, Admission):
        return ("admitted", str(outcome.principal), outcome.principal.kind, tuple(outcome.headers))
    return ("refused", outcome.status, outcome.headers, outcome.body, outcome.reason)


@holds
def a_cached_decision_is_the_decision(raw: bytes) -> None:
    which, headers, request = drawn(raw)
    fresh = plain(COLD[which].admit(headers, request))
    assert fresh == plain(WARM[which].admit(headers, request))
    assert fresh == plain(WARM[which].admit(headers, request))
    cached = WARM[which].admit_cached(headers, request.method, request.path)
    assert cached is None or fresh == plain(cached)


@holds
def waiting_in_a_loop_changes_nothing(raw: bytes) -> None:
    which, headers, request = drawn(raw)
    fresh = plain(COLD[which].admit(headers, request))
    step = COLD[which].aadmit(headers, request)
    try:
        step.send(None)
    except StopIteration as done:
        assert fresh == plain(done.value)  # noqa: PT017 - it carries what is returned
    else:
        step.close()
        assert fresh == plain(asyncio.run(COLD[which].aadmit(headers, request)))


@holds
def what_was_not_checked_never_looks_checked(raw: bytes) -> None:
    which, headers, request = drawn(raw)
    outcome = WARM[which].admit(headers, request)
    if isinstance(outcome, Admission):
        checked = [
            name
            for name, value in outcome.headers
            if name.replace(b"_", b"-") in NAMES[:3] and b"SIGNATURE_REMOVED_BY_GOOGLE" in value
        ]
        assert len(checked) == (0 if outcome.principal.anonymous else 1)
        names = {name.replace(b"_", b"-") for name, _ in outcome.headers}
        assert b"x-goog-authenticated-user-email" not in names


async def _asgi(door: Door, headers: list[tuple[bytes, bytes]], request: PlainRequest) -> tuple[object, ...]:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(tuple(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": request.method, "path": request.path, "headers": headers}
    await AsgiMiddleware(app, door)(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], tuple(sent[0]["headers"]), body, bool(seen)


def _wsgi(door: Door, headers: Iterable[tuple[bytes, bytes]], request: PlainRequest) -> tuple[object, ...]:
    seen: list[Any] = []
    started: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return []

    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        # PEP 3333: the decoded bytes as latin-1. What is no byte comes from a broken server.
        "PATH_INFO": request.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "wsgi.input": io.BytesIO(),
    }
    for name, value in headers:
        key = "HTTP_" + name.decode().upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value.decode()}" if key in environ else value.decode()

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None

    body = b"".join(WsgiMiddleware(app, door)(environ, start_response))
    status, answered = started[0]
    pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in answered)
    return int(status.partition(" ")[0]), pairs, body, bool(seen)


@holds
def asgi_and_wsgi_decide_alike(raw: bytes) -> None:
    which, headers, request = drawn(raw)
    names = [name.replace(b"_", b"-") for name, _ in headers]
    if len(set(names)) < len(names) or any(b"_" in name for name, _ in headers):
        return  # WSGI joins repeated headers, and folds names: a refusal may have another reason there
    if not request.path.isascii():
        return  # WSGI has bytes where ASGI has text that is not Unicode
    asgi = asyncio.run(_asgi(WARM[which], headers, request))
    assert asgi == _wsgi(WARM[which], headers, request)
