"""One fetch for all callers, renewed ahead of time; and what callers get while the source is away."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from doorward import ConfigurationError, DoorwardError
from doorward_integrations.calling import IdTokenError, IdTokens, shared_tokens
from doorward_integrations.calling import tokens as module
from doorward_integrations.emulator import Emulator
from support.calling import PATIENCE, FakeSource, Received, cache_of, landed, unsigned
from support.clock import ManualClock
from support.forks import forked, forking
from support.tokens import AUDIENCE

OTHER = "https://billing-1234567890.europe-west1.run.app"


def refuse(audience: str) -> str:
    raise OSError("the metadata server is away")


def test_a_token_is_fetched_once_and_cached(tokens: IdTokens, source: FakeSource) -> None:
    assert tokens.get(AUDIENCE) == tokens.get(AUDIENCE)
    assert [AUDIENCE] == source.asked


def test_each_audience_has_a_token_of_its_own(tokens: IdTokens, source: FakeSource) -> None:
    assert tokens.get(AUDIENCE) != tokens.get(OTHER)
    assert [AUDIENCE, OTHER] == source.asked


@pytest.mark.parametrize(("way", "looks"), [("get", 2), ("deliver", 1)])
def test_a_caller_that_looked_just_before_a_fetch_ended_causes_no_second_one(
    tokens: IdTokens, source: FakeSource, monkeypatch: pytest.MonkeyPatch, way: str, looks: int
) -> None:
    token = tokens.get(AUDIENCE)
    held = tokens._of(AUDIENCE)
    early, look = [None] * looks, held.at_hand
    monkeypatch.setattr(held, "at_hand", lambda: early.pop() if early else look())
    received: list[object] = []
    if way == "get":
        received.append(tokens.get(AUDIENCE))
    else:
        tokens.deliver(AUDIENCE, lambda found, _: received.append(found))

    assert ([token], [AUDIENCE]) == (received, source.asked)


def test_200_threads_and_200_tasks_in_two_loops_share_one_fetch(tokens: IdTokens, source: FakeSource) -> None:
    source.gate.clear()
    waiting = threading.Barrier(203)

    def in_thread(_: int) -> str:
        waiting.wait(PATIENCE)
        return tokens.get(AUDIENCE)

    def in_loop() -> list[str]:
        async def main() -> list[str]:
            tasks = [asyncio.ensure_future(tokens.aget(AUDIENCE)) for _ in range(100)]
            await asyncio.sleep(0)  # each task has come to its wait
            await asyncio.to_thread(waiting.wait, PATIENCE)
            return await asyncio.gather(*tasks)

        return asyncio.run(main())

    with ThreadPoolExecutor(202) as pool:
        loops = [pool.submit(in_loop) for _ in range(2)]
        threads = [pool.submit(in_thread, number) for number in range(200)]
        waiting.wait(PATIENCE)
        source.gate.set()
        found = {one.result(PATIENCE) for one in threads} | {
            token for loop in loops for token in loop.result(PATIENCE)
        }

    assert 1 == len(found)
    assert [AUDIENCE] == source.asked


def test_trio_is_an_event_loop_too(tokens: IdTokens) -> None:
    assert trio.run(tokens.aget, AUDIENCE) == tokens.get(AUDIENCE)


def test_a_task_that_is_cancelled_changes_nothing_for_the_others(
    tokens: IdTokens, source: FakeSource
) -> None:
    source.gate.clear()

    async def main() -> str:
        gives_up, stays = (asyncio.ensure_future(tokens.aget(AUDIENCE)) for _ in range(2))
        await asyncio.sleep(0)
        gives_up.cancel()
        source.gate.set()
        return await stays

    assert asyncio.run(main()) == tokens.get(AUDIENCE)
    assert [AUDIENCE] == source.asked


class TestRenewal:
    def test_a_token_is_renewed_in_the_background_before_it_expires(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        first = tokens.get(AUDIENCE)
        clock.move(3600 - 301)
        assert (first, 1) == (tokens.get(AUDIENCE), len(source.asked))
        clock.move(1)
        source.gate.clear()
        assert first == tokens.get(AUDIENCE)  # while the new one is on its way
        source.gate.set()
        landed(tokens, AUDIENCE)

        assert first != tokens.get(AUDIENCE)
        assert 2 == len(source.asked)

    def test_a_token_that_is_about_to_expire_is_not_sent(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        first = tokens.get(AUDIENCE)
        clock.move(3600 - 30)

        assert first != tokens.get(AUDIENCE)

    def test_a_source_that_gives_the_same_token_again_is_not_asked_each_second(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        same = source.fresh(AUDIENCE)
        source.answer = lambda _: same
        tokens.get(AUDIENCE)
        clock.move(3600 - 200)
        for _ in range(170):
            assert same == tokens.get(AUDIENCE)
            landed(tokens, AUDIENCE)
            clock.move(1)

        assert 9 == len(source.asked)

    def test_a_token_of_a_minute_is_used_for_most_of_it(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        source.answer = lambda audience: unsigned(audience, clock.now + 60)
        first = tokens.get(AUDIENCE)
        clock.move(44)

        assert first == tokens.get(AUDIENCE)
        assert 1 == len(source.asked)

    def test_while_the_source_is_away_the_token_is_used_until_half_a_minute_before_its_expiry(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        first = tokens.get(AUDIENCE)
        source.answer = refuse
        for left in (300, 200, 100, 31):
            clock.now = json_expiry(first) - left
            assert first == tokens.get(AUDIENCE)
            landed(tokens, AUDIENCE)
        clock.move(1)

        with pytest.raises(IdTokenError, match="the metadata server is away"):
            tokens.get(AUDIENCE)


def json_expiry(token: str) -> float:
    payload = token.split(".")[1]
    claims: dict[str, float] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims["exp"]


class TestFailures:
    def test_an_error_names_the_audience_and_the_cause(self, tokens: IdTokens, source: FakeSource) -> None:
        source.answer = refuse
        with pytest.raises(DoorwardError) as caught:
            tokens.get(AUDIENCE)

        assert (
            f"there is no ID token for the audience '{AUDIENCE}' now: OSError: the metadata server is away"
            == str(caught.value)
        )

    def test_a_source_that_fails_is_left_alone_for_a_second_and_then_asked_again(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        source.answer = refuse
        pauses = []
        for _ in range(5):
            with pytest.raises(IdTokenError) as caught:
                tokens.get(AUDIENCE)
            pauses.append(caught.value.retry_after)
        assert 1 == len(source.asked)
        source.answer = source.fresh
        clock.move(pauses[-1])

        assert tokens.get(AUDIENCE)
        assert 2 == len(source.asked)

    def test_pauses_stay_short_while_there_is_no_token(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        source.answer = refuse
        for _ in range(20):
            with pytest.raises(IdTokenError) as caught:
                tokens.get(AUDIENCE)
            assert 0 < caught.value.retry_after <= 10
            clock.move(caught.value.retry_after)
        assert 20 == len(source.asked)

    def test_a_caller_waits_no_longer_than_its_patience(self, source: FakeSource, clock: ManualClock) -> None:
        tokens = cache_of(source, clock, patience=0.01)
        source.gate.clear()
        try:
            with pytest.raises(IdTokenError, match=r"has not answered within 0\.01 s"):
                tokens.get(AUDIENCE)
            with pytest.raises(IdTokenError, match=r"has not answered within 0\.01 s"):
                asyncio.run(tokens.aget(AUDIENCE))
        finally:
            source.gate.set()
        landed(tokens, AUDIENCE)
        assert tokens.get(AUDIENCE)
        assert 1 == len(source.asked)

    def test_of_fetches_that_never_end_only_so_many_threads_are_left(
        self, source: FakeSource, clock: ManualClock
    ) -> None:
        tokens = cache_of(source, clock, patience=0.001)
        source.gate.clear()
        for _ in range(10):
            with pytest.raises(IdTokenError):
                tokens.get(AUDIENCE)
            clock.move(31)
        asked = len(source.asked)
        source.gate.set()

        assert 3 == asked

    @pytest.mark.parametrize(
        ("given", "cause"),
        [
            (None, "a value of type NoneType"),
            ("garbage", "what is no ID token"),
            ("a.b.c", "what is no ID token"),
            ("x" * 1_000_000, "1000000 characters"),
            (unsigned(OTHER, 1_790_003_600), "for another audience"),
            (unsigned(AUDIENCE, 1_790_003_600, aud=[AUDIENCE, OTHER]), "for another audience"),
            (unsigned(AUDIENCE, 1_789_999_000), "expired 1000 s ago"),
            (unsigned(AUDIENCE, 0, exp=None), "without a time of expiry"),
            (unsigned(AUDIENCE, 0, exp=True), "without a time of expiry"),
            (unsigned(AUDIENCE, 0, exp=1e300), "without a time of expiry"),
        ],
        ids=[
            "None",
            "garbage",
            "no JSON",
            "huge",
            "other",
            "two audiences",
            "expired",
            "no exp",
            "true exp",
            "no date",
        ],
    )
    def test_what_is_no_good_token_is_never_sent(
        self, tokens: IdTokens, source: FakeSource, given: object, cause: str
    ) -> None:
        source.answer = lambda _: given
        with pytest.raises(IdTokenError) as caught:
            tokens.get(AUDIENCE)

        assert cause in str(caught.value)
        assert len(str(caught.value)) < 400

    def test_an_error_of_the_source_takes_no_token_into_the_log(
        self, tokens: IdTokens, source: FakeSource
    ) -> None:
        token = source.fresh(AUDIENCE)

        def fail(_: str) -> str:
            raise ValueError(f"Wrong number of segments in token: {token.encode()!r}")

        source.answer = fail
        with pytest.raises(IdTokenError) as caught:
            tokens.get(AUDIENCE)

        error: BaseException | None = caught.value
        while error is not None:
            assert not any(token[at : at + 17] in repr(error) for at in range(len(token) - 17))
            error = error.__cause__ or error.__context__
        assert "ValueError: Wrong number of segments in token" in str(caught.value)


class TestReplacing:
    def test_a_refused_token_is_replaced_once_for_all_who_were_refused(
        self, tokens: IdTokens, source: FakeSource
    ) -> None:
        refused = tokens.get(AUDIENCE)
        source.gate.clear()
        with ThreadPoolExecutor(20) as pool:
            calls = [pool.submit(tokens.replace, AUDIENCE, refused) for _ in range(20)]
            source.gate.set()
            found = {one.result(PATIENCE) for one in calls}

        assert {tokens.get(AUDIENCE)} == found != {refused}
        assert 2 == len(source.asked)

    def test_it_goes_on_being_used_while_no_other_can_be_fetched(
        self, tokens: IdTokens, source: FakeSource
    ) -> None:
        refused = tokens.get(AUDIENCE)
        source.answer = refuse

        assert tokens.replace(AUDIENCE, refused) is None
        assert refused == tokens.get(AUDIENCE)

    def test_a_service_that_refuses_every_token_causes_few_fetches(
        self, tokens: IdTokens, source: FakeSource, clock: ManualClock
    ) -> None:
        for _ in range(100):
            tokens.replace(AUDIENCE, tokens.get(AUDIENCE))
        assert 1 + 3 == len(source.asked)
        clock.move(30)
        assert asyncio.run(tokens.areplace(AUDIENCE, tokens.get(AUDIENCE))) is not None
        assert 1 + 4 == len(source.asked)


class TestDelivery:
    def test_a_token_at_hand_is_handed_over_at_once(self, tokens: IdTokens) -> None:
        received = Received(1)
        expected = tokens.get(AUDIENCE)
        tokens.deliver(AUDIENCE, received)

        assert [(expected, None)] == received.got

    def test_another_one_when_it_has_come(self, tokens: IdTokens, source: FakeSource) -> None:
        source.gate.clear()
        received = Received(50)
        for _ in range(50):
            tokens.deliver(AUDIENCE, received)
        assert [] == received.got
        source.gate.set()

        assert received.all.wait(PATIENCE)
        assert {(tokens.get(AUDIENCE), None)} == set(received.got)
        assert 1 == len(source.asked)

    def test_an_error_is_handed_over_too(self, tokens: IdTokens, source: FakeSource) -> None:
        source.answer = refuse
        received = Received(1)
        tokens.deliver(AUDIENCE, received)
        assert received.all.wait(PATIENCE)
        tokens.deliver(AUDIENCE, received)

        assert [None, None] == [token for token, _ in received.got]
        assert [IdTokenError, IdTokenError] == [type(error) for _, error in received.got]


class TestSettings:
    @pytest.mark.parametrize("setting", ["renew_before", "patience", "capacity"])
    @pytest.mark.parametrize("value", [0, -1])
    def test_a_number_must_be_positive(
        self, source: FakeSource, clock: ManualClock, setting: str, value: int
    ) -> None:
        with pytest.raises(ConfigurationError, match=setting):
            cache_of(source, clock, **{setting: value})

    def test_a_source_must_be_one(self) -> None:
        credentials: object = object()
        with pytest.raises(ConfigurationError, match="GoogleAuthSource"):
            IdTokens(credentials)  # type: ignore[arg-type]

    @pytest.mark.parametrize("audience", ["", "a\nb", "x" * 3000, None, 5, ["https://a.example"]])
    def test_an_audience_must_be_one(self, tokens: IdTokens, source: FakeSource, audience: object) -> None:
        with pytest.raises(ConfigurationError, match="is not an audience"):
            tokens.get(audience)  # type: ignore[arg-type]
        assert [] == source.asked

    def test_the_audience_that_was_not_asked_for_the_longest_is_dropped_first(
        self, source: FakeSource, clock: ManualClock
    ) -> None:
        tokens = cache_of(source, clock, capacity=2)
        for audience in ("a", "b", "a", "c", "a"):
            tokens.get(audience)
            clock.move(1)

        assert ["a", "b", "c"] == source.asked
        assert ["a", "c"] == [one["audience"] for one in tokens.health()["audiences"]]


def test_health_says_what_is_held_and_no_token(
    tokens: IdTokens, source: FakeSource, clock: ManualClock
) -> None:
    token = tokens.get(AUDIENCE)
    clock.move(100)

    assert {
        "audiences": [
            {"audience": AUDIENCE, "expires_in": 3500.0, "fetches": 1, "failures": 0, "last_error": None}
        ]
    } == tokens.health()
    assert token[:17] not in repr(tokens._audiences[AUDIENCE].held)


@forking
def test_a_forked_child_keeps_the_tokens_and_starts_fetches_of_its_own(
    tokens: IdTokens, source: FakeSource
) -> None:
    held = tokens.get(AUDIENCE)
    source.gate.clear()
    waiting = threading.Thread(target=lambda: tokens.get(OTHER))
    waiting.start()
    while OTHER not in tokens._audiences or tokens._audiences[OTHER]._flights.current is None:
        threading.Event().wait(0.001)

    def in_child() -> list[str]:
        source.gate = threading.Event()
        source.gate.set()
        return [tokens.get(AUDIENCE), tokens.get(OTHER)]

    with tokens._lock, tokens._audiences[OTHER]._lock:
        kept, fetched = forked(in_child)
    source.gate.set()
    waiting.join(PATIENCE)

    assert held == kept
    assert json_expiry(held) == json_expiry(fetched)


class TestShared:
    @pytest.fixture(autouse=True)
    def _anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_shared", {})

    def test_it_is_one_for_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Emulator().serve() as served:
            monkeypatch.setenv("DOORWARD_EMULATOR_HOST", served.host)
            assert shared_tokens() is shared_tokens()
            assert shared_tokens().get(AUDIENCE)

    @pytest.mark.parametrize("variable", ["K_SERVICE", "CLOUD_RUN_JOB"])
    def test_it_takes_no_emulator_on_cloud_run(self, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", "127.0.0.1:8099")
        monkeypatch.setenv(variable, "orders")
        with pytest.raises(ConfigurationError, match="is set on Cloud Run"):
            shared_tokens()

    def test_it_takes_no_emulator_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", "emulator.example:80")
        with pytest.raises(ConfigurationError, match="of this machine"):
            shared_tokens()
