"""The judge of the soak: it must find every wrong answer, and hold nothing against a right one."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from operation.soak.judge import Answer, Fact, Tally, judge
from operation.soak.phases import MEMBERS
from operation.soak.run import SERVERS, report
from operation.soak.watch import Watch
from operation.soak.world import KeyEndpoint, PolicyFile
from support.tokens import MEMBER, SigningKey

YES, NO, EITHER = {True}, {False}, {True, False}


@pytest.mark.parametrize(
    ("status", "caller", "granted", "unknown_allowed", "verdict"),
    [
        (200, MEMBER, YES, False, "right"),
        (200, MEMBER, EITHER, False, "right"),
        (200, MEMBER, NO, False, "wrong"),
        (200, "serviceAccount:b@p.iam.gserviceaccount.com", YES, False, "wrong"),
        (200, "anonymous", YES, False, "wrong"),
        (401, "", NO, False, "right"),
        (403, "", EITHER, False, "right"),
        (401, "", YES, False, "refused"),
        (403, "", YES, True, "refused"),
        (503, "", YES, False, "refused"),
        (503, "", NO, False, "odd"),
        (503, "", NO, True, "right"),
        (503, "", EITHER, True, "right"),
        (500, "", YES, True, "refused"),
        (500, "", NO, True, "odd"),
        (500, "", EITHER, True, "odd"),
        (0, "", YES, False, "broken"),
    ],
)
def test_an_answer_is_judged_by_what_should_be(
    status: int, caller: str, granted: set[bool], *, unknown_allowed: bool, verdict: str
) -> None:
    answer = Answer("known", status, caller, 1.0, 2.0)

    assert verdict == judge(answer, MEMBER, granted, unknown_allowed=unknown_allowed)


def test_one_that_no_one_may_see_is_wrong_whatever_the_application_saw() -> None:
    assert "wrong" == judge(Answer("forged", 200, MEMBER, 1.0, 2.0), None, EITHER, unknown_allowed=False)


def test_a_change_may_be_seen_from_when_it_is_made_and_must_be_seen_after_its_delay() -> None:
    fact = Fact(value=True)
    fact.change(100.0, 5.0, value=False)

    assert YES == fact.possible(90.0, 99.9)
    assert EITHER == fact.possible(99.0, 100.1)
    assert EITHER == fact.possible(104.9, 105.5)
    assert NO == fact.possible(105.0, 105.1)


def test_a_change_back_before_the_delay_is_over_leaves_both_possible() -> None:
    fact = Fact(value=True)
    fact.change(100.0, 5.0, value=False)
    fact.change(102.0, 5.0, value=True)

    assert EITHER == fact.possible(106.9, 106.95)
    assert YES == fact.possible(107.0, 107.1)


def test_while_servers_cannot_know_either_is_possible() -> None:
    fact = Fact(value=True)
    fact.change(100.0, value=None)
    fact.change(110.0, 2.0, value=False)

    assert EITHER == fact.possible(105.0, 105.1)
    assert EITHER == fact.possible(111.9, 112.1)
    assert NO == fact.possible(112.0, 112.1)


def test_the_99th_percentile_is_of_known_tokens_that_were_answered() -> None:
    tally = Tally()
    for number in range(200):
        answer = Answer("known", 200, MEMBER, 0.0, number / 1000)
        tally.add("calm", "uvicorn", answer, "right", known=True)
    tally.add("calm", "uvicorn", Answer("known", 0, "", 0.0, 60.0), "cut off", known=True)
    tally.add("calm", "uvicorn", Answer("forged", 401, "", 0.0, 60.0), "right", known=False)

    assert 0.198 == tally.p99("calm", "uvicorn")
    assert 0.0 == tally.p99("calm", "gunicorn")
    assert (201, 1) == (tally.count("right"), tally.count("cut off"))


@pytest.mark.parametrize(
    ("fault", "status", "holds"),
    [(None, 200, '"keys"'), ("500", 500, "away"), ("429", 429, "later"), ("garbage", 200, "<html>")],
)
def test_the_endpoint_has_its_faults(fault: str | None, status: int, holds: str) -> None:
    endpoint = KeyEndpoint(SigningKey("key-1"))
    with endpoint.serve() as url:
        endpoint.fault = fault
        answer = httpx.get(url, trust_env=False)

    assert (status, 1) == (answer.status_code, endpoint.fetches)
    assert holds in answer.text


def test_an_endpoint_that_hangs_lets_go_when_it_is_mended() -> None:
    endpoint = KeyEndpoint(SigningKey("key-1"))
    with endpoint.serve() as url:
        endpoint.fault = "hang"
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(url, trust_env=False, timeout=0.2)
        endpoint.fault = None
        assert 200 == httpx.get(url, trust_env=False).status_code


def test_the_policy_is_replaced_whole_or_broken_as_asked(tmp_path: Path) -> None:
    policy = PolicyFile(tmp_path / "policy.json", *MEMBERS)
    before = policy.path.read_text()

    assert MEMBERS[0] in before
    policy.break_off()
    assert before[:20] == policy.path.read_text()
    policy.remove()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("survived", "verdict", "status"),
    [
        ({"a fork": True}, "right", 0),
        ({"a fork": True, "a hang": False}, "right", 1),
        ({"a fork": True}, "wrong", 1),
    ],
)
def test_it_fails_by_a_wrong_answer_and_by_a_fault_that_was_not_survived(
    tmp_path: Path, survived: dict[str, bool], verdict: str, status: int
) -> None:
    tally = Tally()
    for name in SERVERS:
        (tmp_path / f"{name}.log").touch()
        tally.add("calm", name, Answer("good", 200, MEMBER, 0.0, 0.1), verdict, known=True)

    assert status == report(tally, Watch({}), survived, tmp_path)
