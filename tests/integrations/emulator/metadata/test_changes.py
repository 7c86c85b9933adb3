"""Entity tags, and requests that wait for a change: on events, and with a time limit that a test ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    Accounts,
    EmulatedIssuer,
    MetadataServer,
)
from doorward_integrations.emulator.metadata.changes import Changes, TooManyWaiting
from support.stage import Stage

FLAVOR = {"Metadata-Flavor": "Google"}
V1 = "/computeMetadata/v1"
EMAIL = f"{V1}/instance/service-accounts/default/email"
OTHER = "other@doorward-demo.iam.gserviceaccount.com"
SOON = 20.0


class WatchedChanges(Changes):
    """Says when a request has begun to wait, and ends its time limit when a test says so."""

    def __init__(self) -> None:
        super().__init__(self._until_it_is_over)
        self.begun = threading.Event()
        self.limits: list[float] = []
        self.over = threading.Event()

    async def _until_it_is_over(self, seconds: float) -> None:
        self.limits.append(seconds)
        self.begun.set()
        await asyncio.to_thread(self.over.wait, SOON)


@pytest.fixture
def changes() -> WatchedChanges:
    return WatchedChanges()


@pytest.fixture
def metadata(changes: WatchedChanges) -> MetadataServer:
    return MetadataServer(issuer=EmulatedIssuer(), accounts=Accounts(), changes=changes)


@pytest.fixture
def client(metadata: MetadataServer, stage: Stage) -> Iterator[httpx.Client]:
    stage.app = Starlette(routes=metadata.routes())
    with httpx.Client(base_url=stage.url, trust_env=False, headers=FLAVOR, timeout=SOON) as client:
        yield client
    stage.app = None


class Waiting:
    """A request that waits, in a thread of its own."""

    def __init__(self, client: httpx.Client, path: str, **query: str) -> None:
        self.answer: httpx.Response | None = None
        self._client = client
        self._thread = threading.Thread(target=self._ask, args=(path, {"wait_for_change": "true"} | query))
        self._thread.start()

    def _ask(self, path: str, query: dict[str, str]) -> None:
        self.answer = self._client.get(path, params=query)

    def result(self) -> httpx.Response:
        self._thread.join(SOON)
        assert self.answer is not None
        return self.answer


@pytest.mark.parametrize("query", [{}, {"alt": "json"}, {"recursive": "true"}])
@pytest.mark.parametrize("path", [EMAIL, f"{V1}/instance/", f"{V1}/"])
def test_what_did_not_change_has_the_same_entity_tag(
    path: str, query: dict[str, str], client: httpx.Client
) -> None:
    first, second = (client.get(path, params=query).headers["etag"] for _ in range(2))

    assert first == second
    assert 16 == len(first)


def test_the_form_of_an_answer_does_not_change_its_entity_tag(client: httpx.Client) -> None:
    text, whole = (client.get(EMAIL, params={"alt": form}).headers["etag"] for form in ("text", "json"))

    assert text == whole


def test_a_change_changes_the_entity_tags_of_all_that_it_is_in(
    metadata: MetadataServer, client: httpx.Client
) -> None:
    def tags() -> list[str]:
        changing = (EMAIL, f"{V1}/instance/?recursive=true", f"{V1}/?recursive=true")
        return [client.get(path).headers["etag"] for path in (*changing, f"{V1}/", f"{V1}/project/")]

    before = tags()
    metadata.accounts.use(OTHER)
    same = [one == other for one, other in zip(before, tags(), strict=True)]

    assert [False, False, False, True, True] == same


@pytest.mark.parametrize("form", ["{}", '"{}"', 'W/"{}"'])
def test_what_the_client_has_already_is_not_sent_again(form: str, client: httpx.Client) -> None:
    etag = client.get(EMAIL).headers["etag"]
    answer = client.get(EMAIL, headers={"If-None-Match": form.format(etag)})

    assert (304, b"", etag) == (answer.status_code, answer.content, answer.headers["etag"])
    assert 200 == client.get(EMAIL, headers={"If-None-Match": "0"}).status_code


@pytest.mark.parametrize("known", ["0", "NONE", ""])
def test_a_client_that_knows_another_value_is_answered_at_once(known: str, client: httpx.Client) -> None:
    answer = client.get(EMAIL, params={"wait_for_change": "true", "last_etag": known})

    assert (200, DEFAULT_ACCOUNT) == (answer.status_code, answer.text)


@pytest.mark.parametrize("known", ["the entity tag", "nothing"])
def test_a_client_that_knows_the_value_is_answered_when_it_changes(
    known: str, metadata: MetadataServer, changes: WatchedChanges, client: httpx.Client
) -> None:
    etag = client.get(EMAIL).headers["etag"]
    query = {"last_etag": etag} if known == "the entity tag" else {}
    waiting = Waiting(client, EMAIL, timeout_sec="300", **query)
    assert changes.begun.wait(SOON)
    metadata.accounts.use(OTHER)
    answer = waiting.result()

    assert (200, OTHER) == (answer.status_code, answer.text)
    assert etag != answer.headers["etag"]
    assert [300] == changes.limits
    changes.over.set()


def test_a_change_of_something_else_does_not_end_a_wait(
    metadata: MetadataServer, changes: WatchedChanges, client: httpx.Client
) -> None:
    waiting = Waiting(client, EMAIL, timeout_sec="300")
    assert changes.begun.wait(SOON)
    metadata.accounts.add(OTHER)
    changes.notify()
    assert waiting.answer is None
    changes.over.set()

    assert DEFAULT_ACCOUNT == waiting.result().text


def test_the_value_is_answered_as_it_is_when_the_time_is_over(
    changes: WatchedChanges, client: httpx.Client
) -> None:
    changes.over.set()
    answer = client.get(EMAIL, params={"wait_for_change": "true", "timeout_sec": "7"})

    assert (200, DEFAULT_ACCOUNT) == (answer.status_code, answer.text)
    assert [7] == changes.limits
    assert 0 == changes.waiting


@pytest.mark.parametrize("limit", ["-1", "1.5", "x", "", "1" * 10, "٣"])
def test_a_time_limit_that_is_no_number_of_seconds_is_refused(limit: str, client: httpx.Client) -> None:
    answer = client.get(EMAIL, params={"wait_for_change": "true", "timeout_sec": limit})

    assert (400, "timeout_sec must be a number of seconds") == (answer.status_code, answer.text)


def test_what_is_not_there_is_not_waited_for(client: httpx.Client) -> None:
    assert 404 == client.get(f"{V1}/nothing", params={"wait_for_change": "true"}).status_code


def request_of(messages: asyncio.Queue[Message]) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": []}, messages.get)


def test_a_client_that_goes_away_leaves_nothing_that_waits() -> None:
    async def wait() -> int:
        messages: asyncio.Queue[Message] = asyncio.Queue()
        changes = Changes()
        task = asyncio.ensure_future(changes.wait_until(lambda: False, request_of(messages), None))
        await messages.put({"type": "http.request", "body": b"", "more_body": False})
        await messages.put({"type": "http.disconnect"})
        await asyncio.wait_for(task, SOON)
        return changes.waiting

    assert 0 == asyncio.run(wait())


def test_no_more_than_200_requests_wait_at_once() -> None:
    async def wait() -> int:
        changes = Changes()
        messages: asyncio.Queue[Message] = asyncio.Queue()

        async def one() -> None:
            await changes.wait_until(lambda: False, request_of(messages), None)

        tasks = [asyncio.ensure_future(one()) for _ in range(200)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaiting):
            await one()
        waiting = changes.waiting
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert 0 == changes.waiting
        return waiting

    assert 200 == asyncio.run(wait())


def test_a_change_between_the_look_and_the_wait_is_not_lost() -> None:
    async def wait() -> list[bool]:
        changes = Changes()
        answers = [False, True]

        def changed() -> bool:
            changes.notify()  # from here on there is a change; it comes before the wait begins
            return answers.pop(0)

        await asyncio.wait_for(changes.wait_until(changed, request_of(asyncio.Queue()), None), SOON)
        return answers

    assert [] == asyncio.run(wait())
