"""Log lines of refusals, as text and as Cloud Logging reads them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import World
from doorward import Door, InvokerPolicy, PlainRequest
from doorward.door.log import CloudRunFormatter
from support.tokens import MEMBER

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

    assert '/\n{"severity":"INFO"}' == entry(lines)["httpRequest"]["requestUrl"]


def test_any_other_record_is_one_line_too(lines: Lines) -> None:
    try:
        raise ValueError("of the application")  # noqa: TRY301 - an exception with a traceback
    except ValueError:
        logging.getLogger("doorward.application").exception("it %s", "failed")

    found = entry(lines)
    assert ("ERROR", "it failed") == (found["severity"], found["message"])
    assert "ValueError: of the application" in found["exception"]
    assert "httpRequest" not in found


def test_the_plain_line_tells_status_and_reason(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.admit([], PATH)

    assert [
        "refused with 403: no_credential: the request was not authenticated: it carries no credential"
    ] == caplog.messages
