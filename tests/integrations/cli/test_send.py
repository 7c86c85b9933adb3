"""``doorward send``: one event from the command line, with a token of the emulator that is running."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward import Verifier
from doorward_integrations.cli.main import main
from doorward_integrations.emulator import Emulator, LoopbackServer

AUDIENCE = "https://orders-1234567890.europe-west1.run.app"
UNWRAPPED = ["pubsub", "--data", "x", "--unwrapped", "--write-metadata", "--ordering-key", "k"]
PUBSUB = "//pubsub.googleapis.com"
ACCOUNT = "pusher@orders.iam.gserviceaccount.com"


class Endpoint:
    """A real server that records requests, and answers with one status."""

    def __init__(self) -> None:
        self.status = 204
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""

    async def answer(self, request: Request) -> Response:
        self.requests.append((request.method, dict(request.headers), await request.body()))
        return Response(status_code=self.status)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Endpoint, str]]:
    """Serve an endpoint and an emulator."""
    endpoint = Endpoint()
    app = Starlette(routes=[Route("/{path:path}", endpoint.answer, methods=["GET", "POST", "PUT"])])
    with LoopbackServer(app) as server, Emulator().serve() as running:
        endpoint.url = f"{server.url}/events"
        yield endpoint, running.host


@pytest.fixture
def endpoint(served: tuple[Endpoint, str], monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """Return the endpoint, with the variable set that leads to the emulator."""
    endpoint, host = served
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", host)
    endpoint.status, endpoint.requests = 204, []
    return endpoint


def send(endpoint: Endpoint, sender: str, *arguments: str) -> int:
    given = ["send", sender, "--to", endpoint.url, "--as", ACCOUNT, "--audience", AUDIENCE, "--no-wait"]
    return main([*given, *arguments])


def test_a_message_arrives_with_a_token_that_a_door_accepts(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == send(endpoint, "pubsub", "--data", "hello", "--attribute", "kind=order=1")

    _, headers, body = endpoint.requests[0]
    token = headers["authorization"].removeprefix("Bearer ")
    assert f"serviceAccount:{ACCOUNT}" == Verifier(AUDIENCE).verify(token).member
    assert {"kind": "order=1"} == json.loads(body)["message"]["attributes"]
    assert "attempt 1: 204\nDelivered.\n" == capsys.readouterr().out


def test_one_that_is_refused_ends_with_1_and_says_how(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.status = 403

    assert 1 == send(endpoint, "pubsub", "--data", "x", "--attempts", "2")
    out = capsys.readouterr().out
    assert "attempt 2 after 0.1 s: 403" in out
    assert "the real sender would go on" in out
    assert "eyJ" not in out


def test_a_dead_letter_is_printed_as_json(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.status = 500

    assert 1 == send(endpoint, "pubsub", "--data", "x", "--dead-letter-after", "5", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert ("dead_lettered", 5) == (printed["ending"], len(printed["attempts"]))
    assert "5" == printed["dead_letter"]["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"]


@pytest.mark.parametrize(
    ("arguments", "header", "value"),
    [
        (["task", "--queue", "q", "--task", "7", "--data", "x"], "x-cloudtasks-taskname", "7"),
        (["schedule", "--job", "nightly", "--method", "PUT"], "x-cloudscheduler-jobname", "nightly"),
        (
            ["eventarc", "--data", "x", "--topic", "projects/p/topics/t"],
            "ce-source",
            f"{PUBSUB}/projects/p/topics/t",
        ),
        (["eventarc", "--type", "a.b", "--source", "s", "--attribute", "bucket=b"], "ce-bucket", "b"),
        (["workflow", "--data", "[1]", "--header", "X-Own=1"], "x-own", "1"),
        (UNWRAPPED, "x-goog-pubsub-ordering-key", "k"),
    ],
)
def test_every_sender_has_a_command(
    arguments: list[str], header: str, value: str, endpoint: Endpoint
) -> None:
    assert 0 == send(endpoint, *arguments)
    assert value == endpoint.requests[0][1][header]


def test_what_is_sent_can_come_from_standard_input(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe"))

    assert 0 == send(endpoint, "task", "--data", "-")
    assert b"from a pipe" == endpoint.requests[0][2]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["workflow", "--data", "{"], "--data must be JSON here"),
        (["eventarc", "--type", "a.b"], "--type needs --source"),
        (["eventarc", "--source", "s", "--data", "x"], "need --type"),
        (["pubsub"], "needs data or an attribute"),
        (["schedule", "--retries", "9"], "from 0 to 5"),
        (["pubsub", "--data", "x", "--attempts", "0"], "must be 1 or more"),
    ],
)
def test_an_argument_that_cannot_work_is_said_in_one_line(
    arguments: list[str], why: str, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == send(endpoint, *arguments)
    error = capsys.readouterr().err
    assert why in error
    assert 1 == error.count("\n")


@pytest.mark.parametrize("sender", ["eventarc", "workflow"])
def test_the_audience_must_be_given_where_no_default_is_documented(
    sender: str, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["send", sender, "--to", endpoint.url])

    assert 2 == left.value.code
    assert "--audience" in capsys.readouterr().err


def test_without_an_emulator_it_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["send", "pubsub", "--to", "http://127.0.0.1:9/", "--data", "x"])
    assert "run `doorward emulator start`" in capsys.readouterr().err


def test_a_pair_without_an_equals_sign_is_refused(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        send(endpoint, "pubsub", "--attribute", "kind")

    assert 2 == left.value.code
