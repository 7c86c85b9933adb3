"""Log lines of refusals, as text and as Cloud Logging reads them."""

from __future__ import annotations

import gc
import json
import logging
import logging.config
import pickle
from collections.abc import Iterator
from types import FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

import pytest

from doorward import (
    ConfigurationError,
    CredentialError,
    Door,
    InvokerPolicy,
    PlainRequest,
    Reason,
    Refusal,
)
from doorward.door.log import CloudRunFormatter, DoorLog
from support.clock import ManualClock
from support.tokens import MEMBER
from support.world import World

PATH = PlainRequest("/orders/7", "POST")


class Lines(logging.Handler):
    """Keeps what it is told to write."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(CloudRunFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("doorward")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode())]


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members(["user:nobody@example.com"]))


def entry(lines: Lines) -> dict[str, Any]:
    (line,) = lines.lines
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_request_without_a_credential_is_logged_in_the_words_of_cloud_run(door: Door, lines: Lines) -> None:
    door.admit([], PATH)

    found = entry(lines)
    assert ("WARNING", "doorward.door") == (found["severity"], found["logger"])
    assert found["message"].startswith(
        "The request was not authenticated. Either allow unauthenticated invocations"
    )
    assert {"requestMethod": "POST", "requestUrl": "/orders/7", "status": 403} == found["httpRequest"]
    assert "no_credential" == found["doorward"]["reason"]


def test_a_bad_token_is_logged_in_the_words_of_cloud_run_with_the_reason_added(
    world: World, door: Door, lines: Lines
) -> None:
    token = world.token(aud="https://other.example")

    door.admit(bearer(token), PATH)

    found = entry(lines)
    assert (
        "The request was not authorized to invoke this service. The access token could not be verified."
        == found["message"]
    )
    assert (401, "wrong_audience", "aud") == (
        found["httpRequest"]["status"],
        found["doorward"]["reason"],
        found["doorward"]["claim"],
    )
    assert token[:17] not in lines.lines[0]
    assert token.rpartition(".")[2][:17] not in lines.lines[0]


def test_a_caller_that_may_not_is_named(world: World, door: Door, lines: Lines) -> None:
    door.admit(bearer(world.token()), PATH)

    found = entry(lines)
    assert (403, "permission_denied") == (found["httpRequest"]["status"], found["doorward"]["reason"])
    assert MEMBER in found["doorward"]["error"]


def test_what_cannot_be_known_is_logged_as_that(world: World, door: Door, lines: Lines) -> None:
    world.endpoint.down()

    door.admit(bearer(world.token()), PATH)

    (refused,) = [one for one in map(json.loads, lines.lines) if "httpRequest" in one]
    assert (503, "keys_unavailable") == (refused["httpRequest"]["status"], refused["doorward"]["reason"])


def test_a_path_cannot_write_a_line_of_the_log(door: Door, lines: Lines) -> None:
    door.admit([], PlainRequest('/\n{"severity":"INFO"}'))

    assert '/\\n{"severity":"INFO"}' == entry(lines)["httpRequest"]["requestUrl"]


def test_any_other_record_is_one_line_too(lines: Lines) -> None:
    try:
        raise ValueError("of the application")  # noqa: TRY301 - an exception with a traceback
    except ValueError:
        logging.getLogger("doorward.application").exception("it %s", "failed")

    found = entry(lines)
    assert ("ERROR", "it failed") == (found["severity"], found["message"])
    assert "ValueError: of the application" in found["exception"]
    assert "httpRequest" not in found


def reachable(start: object) -> Iterator[object]:
    """Walk what an object refers to, but for modules, classes and functions."""
    todo, seen = [start], set()
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, ModuleType | type | FunctionType):
            continue
        seen.add(id(one))
        yield one
        todo += gc.get_referents(one)


@pytest.mark.parametrize("bad", ["expired", "forged", "malformed", "no permission", "keys away"])
def test_neither_the_record_nor_the_refusal_leads_to_the_token(
    world: World, door: Door, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    token = world.token(**{"exp": 1_000_000_000, "iat": 999_999_000} if bad == "expired" else {})
    token = {"forged": token[:-8] + "AAAAAAAA", "malformed": token.replace(".", ".=", 1)}.get(bad, token)
    if bad == "keys away":
        world.endpoint.down()
    refusal = door.admit(bearer(token), PATH)

    assert isinstance(refusal, Refusal)
    parts = [part.encode() for part in (token[:40], token.rpartition(".")[2][:40])]
    refused = [record for record in caplog.records if hasattr(record, "doorward_refusal")]
    assert 1 == len(refused)
    for start in (refusal, refused[0]):
        for one in reachable(start):
            raw = one.encode() if isinstance(one, str) else one
            assert not isinstance(raw, bytes) or not any(part in raw for part in parts)
            assert not isinstance(one, FrameType | TracebackType | PlainRequest)


def test_a_record_crosses_to_another_process(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.admit([], PATH)

    (record,) = caplog.records
    arrived = pickle.loads(pickle.dumps(record))
    assert record.__dict__ == arrived.__dict__
    assert '"no_credential"' in CloudRunFormatter().format(arrived)


def test_what_a_caller_can_have_written_to_the_log_is_bounded(door: Door, lines: Lines) -> None:
    door.admit([], PlainRequest("/" + "x" * 60_000, "M" * 60_000))

    assert len(lines.lines[0]) < 3_000
    assert "/xxx" in entry(lines)["httpRequest"]["requestUrl"]


def test_an_address_of_any_length_is_clipped_wherever_it_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    email = f"{'a' * 5_000}@example.com"
    bad = world.token(aud="https://other.example/" + "b" * 5_000, email=email)
    denying = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    public = Door(world.verifier(), InvokerPolicy.all_users())
    groups = Door(
        world.verifier(),
        InvokerPolicy.from_members(["group:a@example.com"], groups=lambda *_: 1 / 0),  # type: ignore[arg-type]
    )

    for door in (denying, public, groups):
        door.admit(bearer(world.token(email=email)), PATH)
        door.admit(bearer(bad), PATH)
        door.admit(bearer(world.token(iss="https://" + "c" * 5_000)), PATH)

    doors = [record for record in caplog.records if record.name == "doorward.door"]
    assert 8 == len(doors)  # the public door admits the first one as its caller
    for record in doors:
        assert 700 > len(record.getMessage())
        assert "a" * 501 not in str(record.__dict__)


def test_a_line_break_in_an_error_writes_no_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def find(_headers: object) -> None:
        raise CredentialError(Reason.EMPTY_CREDENTIAL, "first\nsecond\u2028third\x1b[31m")

    Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), credential=find).admit([], PATH)

    assert [r"refused with 401: empty_credential: first\nsecond\u2028third\x1b[31m"] == caplog.messages


def test_a_flood_is_written_in_part_and_summed_up_by_reason(world: World, lines: Lines) -> None:
    clock = ManualClock()
    log = DoorLog(lines=3, monotonic=clock, later=lambda *_: None)
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), log=log)
    for _ in range(1_000):
        door.admit([], PATH)
    for _ in range(500):
        door.admit(bearer("no token"), PATH)
    assert 5 == len(lines.lines)

    clock.move(10.0)
    door.admit([], PATH)

    assert 7 == len(lines.lines)
    found = json.loads(lines.lines[5])
    assert "1,495 more refused in 10 s: 996 no_credential, 499 multiple_credentials" == found["message"]
    assert {
        "seconds": 10.0,
        "held_back": {"no_credential": 996, "multiple_credentials": 499},
    } == found["doorward"]
    assert ("WARNING", "doorward.door") == (found["severity"], found["logger"])


def test_anonymous_callers_of_a_public_service_are_summed_up_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    log = DoorLog(lines=1, monotonic=clock, later=lambda *_: None)
    door = Door(world.verifier(), InvokerPolicy.all_users(), log=log)
    for _ in range(10):
        door.admit([], PATH)
    clock.move(10.0)
    door.admit([], PATH)

    assert 4 == len(caplog.messages)
    assert "8 more admitted as anonymous in 10 s: 8 no_credential" == caplog.messages[2]


def test_one_log_may_serve_several_doors(world: World, caplog: pytest.LogCaptureFixture) -> None:
    log = DoorLog(lines=0)
    for _ in range(2):
        Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), log=log).admit([], PATH)

    assert 1 == len(caplog.messages)


@pytest.mark.parametrize(
    "setting", [{"lines": -1}, {"lines": 1.5}, {"lines": True}, {"seconds": 0.0}, {"seconds": float("nan")}]
)
def test_a_limit_that_cannot_be_one_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="how many log lines"):
        DoorLog(**setting)


def test_the_plain_line_tells_status_and_reason(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.admit([], PATH)

    assert [
        "refused with 403: no_credential: the request was not authenticated: it carries no credential"
    ] == caplog.messages


# The trace of a request.

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = (b"traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode())
FIELDS = "logging.googleapis.com"


def test_a_refusal_stands_in_the_trace_of_its_request(
    world: World, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    for headers in ([PARENT], [PARENT, *bearer(world.token())], [PARENT, *bearer(world.token(aud="other"))]):
        door.admit(headers, PATH)
    door.refuse(CredentialError(Reason.NO_CREDENTIAL, "of the application"), PATH, [PARENT])

    found = [json.loads(CloudRunFormatter(project="my-project").format(one)) for one in caplog.records]
    expected = (f"projects/my-project/traces/{TRACE}", "b7ad6b7169203331", True)
    assert [expected] * 4 == [
        (one[f"{FIELDS}/trace"], one[f"{FIELDS}/spanId"], one[f"{FIELDS}/trace_sampled"]) for one in found
    ]


def test_the_project_may_come_from_the_variable_of_google(
    door: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-the-environment")
    door.admit([PARENT], PATH)

    (record,) = caplog.records
    named = json.loads(CloudRunFormatter().format(record))[f"{FIELDS}/trace"]
    assert f"projects/from-the-environment/traces/{TRACE}" == named
    named = json.loads(CloudRunFormatter(project="given").format(record))[f"{FIELDS}/trace"]
    assert f"projects/given/traces/{TRACE}" == named
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "A/B")
    with pytest.raises(ConfigurationError, match=r"^GOOGLE_CLOUD_PROJECT='A/B' must be the id of a project"):
        CloudRunFormatter()


def test_without_a_project_or_without_a_trace_nothing_is_said_of_it(
    door: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    door.admit([PARENT], PATH)
    door.admit([(b"traceparent", b"00-hostile-\n")], PATH)

    lines = [
        CloudRunFormatter().format(caplog.records[0]),
        CloudRunFormatter(project="p").format(caplog.records[1]),
    ]
    assert [FIELDS in line for line in lines] == [False, False]


@pytest.mark.parametrize(
    "value",
    [
        b'","severity":"INFO","x":"',
        b'\r\n{"severity": "ALERT"}',
        b"x" * 100_000,
        b"\xff\xfe\x00",
        b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("name", [b"traceparent", b"x-cloud-trace-context", b"user-agent"])
def test_nothing_of_a_hostile_header_is_in_the_line(
    door: Door, caplog: pytest.LogCaptureFixture, name: bytes, value: bytes
) -> None:
    door.admit([(name, value)], PATH)
    door.admit([], PATH)

    formatter = CloudRunFormatter(project="p")
    hostile, plain = (formatter.format(one) for one in caplog.records)
    assert plain == hostile


def test_a_severity_that_cloud_logging_does_not_know_is_the_default(lines: Lines) -> None:
    logging.getLogger("doorward.tests").log(logging.CRITICAL + 5, "of another level")

    assert "DEFAULT" == entry(lines)["severity"]


def test_a_configuration_of_logging_can_name_the_formatter(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    formatters = {
        "plain": {"class": "doorward.CloudRunFormatter"},
        "named": {"()": "doorward.CloudRunFormatter", "project": "p"},
    }
    for name in formatters:
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": formatters,
                "handlers": {"err": {"class": "logging.StreamHandler", "formatter": name}},
                "loggers": {"doorward.door": {"handlers": ["err"]}},
            }
        )
        try:
            Door(world.verifier(), InvokerPolicy.from_members([MEMBER])).admit([PARENT], PATH)
        finally:
            logging.getLogger("doorward.door").handlers.clear()
        found = json.loads(capsys.readouterr().err)
        assert ("no_credential", name == "named") == (found["doorward"]["reason"], f"{FIELDS}/trace" in found)
