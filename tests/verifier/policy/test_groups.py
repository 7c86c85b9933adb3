from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from doorward import GOOGLE, ConfigurationError, Issuer, PolicyError, Principal
from doorward.keys.flight import Flight
from doorward.policy.cloud_identity import CloudIdentityGroups
from doorward.policy.decision import Decision
from doorward.policy.groups import Unresolved, resolver
from doorward.policy.iam import InvokerPolicy
from doorward.tokens.principal import ANONYMOUS
from support.clock import ManualClock
from support.httpendpoint import HttpEndpoint, Peer, response
from support.tokens import CALLER, MEMBER, SUBJECT, claims

TEAM = "team@example.com"
GROUP = f"group:{TEAM}"
INVOKER = "roles/run.invoker"
TOKEN = "ya29.a-token-that-must-stay-secret"


def principal(issuer: Issuer = GOOGLE, **changed: Any) -> Principal:
    return Principal(MappingProxyType(claims(1_790_000_000.0, **changed)), issuer)


JANE = principal(email="Jane@Example.com", sub="1")
NAMELESS = principal(email=None, email_verified=None)
OWN = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")


def policy(groups: Any, *members: str, **settings: Any) -> InvokerPolicy:
    return InvokerPolicy.from_members([*members, GROUP], groups=groups, **settings)


# Any way to resolve groups.


def test_a_member_of_a_group_is_granted_but_not_for_good() -> None:
    decision = policy({TEAM: [CALLER]}).decide(principal())

    assert Decision(granted=True, member=GROUP, role=INVOKER) == decision


def test_who_is_not_in_the_group_is_not_refused_for_good_either() -> None:
    assert Decision(granted=False) == policy({TEAM: [CALLER]}).decide(JANE)


def test_who_can_be_in_no_group_is_refused_for_good() -> None:
    asked: list[str] = []

    def ask(group: str, _: Principal) -> bool:
        asked.append(group)
        return True

    assert Decision(granted=False, same_for_every_request=True) == policy(ask).decide(ANONYMOUS)
    assert Decision(granted=False, same_for_every_request=True) == policy(ask).decide(principal(OWN))
    assert [] == asked


def test_no_group_is_asked_for_where_something_else_grants() -> None:
    def ask(*_: object) -> bool:
        raise AssertionError

    assert Decision(granted=True, member=MEMBER, role=INVOKER, same_for_every_request=True) == policy(
        ask, MEMBER
    ).decide(principal())


# A mapping.


@pytest.mark.parametrize(
    "listed",
    [
        [CALLER],
        [CALLER.upper()],
        [MEMBER],
        {"jane@example.com", CALLER},
        ["group:inner@example.com"],
    ],
    ids=repr,
)
def test_the_members_of_a_group_are_listed_by_address_or_as_members(listed: Any) -> None:
    groups = {"Team@Example.com": listed, "inner@example.com": [MEMBER, GROUP]}

    assert policy(groups).decide(principal()).granted
    assert not policy(groups).decide(principal(email="other@p.iam.gserviceaccount.com")).granted


def test_who_names_no_address_is_in_no_listed_group() -> None:
    groups = {TEAM: [CALLER]}

    assert not policy(groups).decide(NAMELESS).granted
    assert policy(groups).decide(NAMELESS).unknown is None
    assert policy(groups, unique_ids={MEMBER: SUBJECT}).decide(NAMELESS).granted


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {"another@example.com": [CALLER]},
        {TEAM: CALLER},
        {TEAM: [7]},
        {TEAM: ["allUsers:x"]},
        {TEAM: ["domain:example.com"]},
        {TEAM: ["deleted:user:a@x.com?uid=1"]},
        {TEAM: ["jane"]},
        {TEAM: ["group:nobody-listed@example.com"]},
        7,
        "team@example.com",
    ],
    ids=repr,
)
def test_a_mapping_that_leaves_a_question_open_is_refused(groups: Any) -> None:
    with pytest.raises(PolicyError, match="group"):
        policy(groups)


# A function.


def test_a_function_is_asked_with_the_group_and_the_principal() -> None:
    asked: list[tuple[str, Principal]] = []

    def ask(group: str, caller: Principal) -> bool:
        asked.append((group, caller))
        return caller.subject == SUBJECT

    assert policy(ask).decide(NAMELESS).granted
    assert [(TEAM, NAMELESS)] == asked


def test_a_group_is_asked_for_once_in_a_decision() -> None:
    asked: list[str] = []

    def ask(group: str, _: Principal) -> bool:
        asked.append(group)
        return False

    InvokerPolicy([(INVOKER, [GROUP]), ("roles/run.admin", [GROUP])], groups=ask).explain(principal())

    assert [TEAM] == asked


@pytest.mark.parametrize("answer", [None, 1, "yes", ValueError("boom"), KeyError("x")], ids=repr)
def test_an_answer_that_is_none_does_not_grant_and_does_not_refuse(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(group: str, _: Principal) -> Any:
        if group == "broken@example.com" and isinstance(answer, Exception):
            raise answer
        return answer if group == "broken@example.com" else True

    broken = InvokerPolicy.from_members(["group:broken@example.com"], groups=ask)
    beside = InvokerPolicy.from_members(["group:broken@example.com", GROUP], groups=ask)

    decision = broken.decide(principal())
    assert (False, False) == (decision.granted, decision.same_for_every_request)
    assert "broken@example.com" in str(decision.unknown)
    assert GROUP == beside.decide(principal()).member
    assert logging.ERROR == caplog.records[0].levelno


def test_programming_errors_that_are_no_exceptions_pass() -> None:
    def ask(*_: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        policy(ask).decide(principal())


def test_what_is_under_way_can_be_waited_for() -> None:
    flight = Flight(1, 0.0, "group")
    answers = {"a@x.com": Unresolved("later"), "b@x.com": Unresolved("soon", flight)}
    both = InvokerPolicy.from_members(
        ["group:a@x.com", "group:b@x.com"], groups=lambda group, _: answers[group]
    )

    decision = both.decide(principal())

    assert ("later", flight) == (decision.unknown, decision.pending)


def test_a_resolver_that_was_not_given_is_never_asked() -> None:
    with pytest.raises(NotImplementedError):
        resolver(None)(TEAM, principal(), CALLER)


# Cloud Identity, over HTTP.


class Directory:
    """A stand-in for the Cloud Identity API."""

    def __init__(self) -> None:
        self.groups = {TEAM: "groups/01abc"}
        self.members = {("groups/01abc", CALLER)}
        self.down: bytes | None = None
        self.hold: threading.Event | None = None
        self.asked: list[tuple[str, str]] = []

    def __call__(self, peer: Peer) -> None:
        url = urlsplit(peer.request.target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        (value,) = query.values()
        self.asked.append((url.path, value))
        if self.hold is not None:
            assert self.hold.wait(10)
        assert f"Bearer {TOKEN}" == peer.request.headers["authorization"]
        peer.send(self.down if self.down is not None else self._answer(url.path, value))

    def _answer(self, path: str, value: str) -> bytes:
        if path == "/v1/groups:lookup":
            if (name := self.groups.get(value)) is None:
                return response(b"{}", status="403 Forbidden")
            return _json({"name": name})
        name = path.removeprefix("/v1/").removesuffix("/memberships:checkTransitiveMembership")
        address = value.removeprefix("member_key_id == '").removesuffix("'").replace("\\", "")
        return _json({"hasMembership": True} if (name, address) in self.members else {})


def _json(document: Any) -> bytes:
    return response(json.dumps(document).encode(), "Content-Type: application/json")


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def endpoint(directory: Directory) -> Iterator[HttpEndpoint]:
    with HttpEndpoint(directory) as served:
        yield served


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


Make = Callable[..., CloudIdentityGroups]


@pytest.fixture
def make(endpoint: HttpEndpoint, clock: ManualClock) -> Make:
    def groups(**settings: Any) -> CloudIdentityGroups:
        base = endpoint.url.removesuffix("/certs")
        return CloudIdentityGroups(
            settings.pop("access_token", lambda: TOKEN), base_url=base, monotonic=clock, **settings
        )

    return groups


def settled(groups: CloudIdentityGroups, group: str = TEAM, address: str = CALLER) -> bool | Unresolved:
    """Give the answer once the look-up that is under way has finished."""
    answer = groups.look_up(group, address)
    if isinstance(answer, Unresolved) and answer.pending is not None:
        assert answer.pending.wait(10)
        answer = groups.look_up(group, address)
    return answer


def test_a_decision_does_not_wait_for_the_look_up_and_is_made_when_it_has_landed(
    make: Make, directory: Directory
) -> None:
    directory.hold = threading.Event()
    asked = policy(make())

    first = asked.decide(principal())
    assert (False, False) == (first.granted, first.same_for_every_request)
    assert "being looked up" in str(first.unknown)
    assert first.pending is not None
    assert not first.pending.finished
    directory.hold.set()
    assert first.pending.wait(10)

    assert GROUP == asked.decide(principal()).member


def test_google_is_asked_for_the_group_and_then_for_the_member(make: Make, directory: Directory) -> None:
    assert True is settled(make())
    assert [
        ("/v1/groups:lookup", TEAM),
        ("/v1/groups/01abc/memberships:checkTransitiveMembership", f"member_key_id == '{CALLER}'"),
    ] == directory.asked


def test_an_answer_is_cached_for_its_time_whether_yes_or_no(
    make: Make, directory: Directory, clock: ManualClock
) -> None:
    groups = make(ttl=300.0, negative_ttl=60.0)
    assert True is settled(groups)
    assert False is settled(groups, address="jane@example.com")
    count = len(directory.asked)

    clock.move(47.0)
    assert True is groups.look_up(TEAM, CALLER)
    assert False is groups.look_up(TEAM, "jane@example.com")
    assert 3 == count == len(directory.asked)

    clock.move(14.0)
    directory.members.add(("groups/01abc", "jane@example.com"))
    assert isinstance(groups.look_up(TEAM, "jane@example.com"), Unresolved)
    assert True is settled(groups, address="jane@example.com")


def test_an_answer_in_use_is_asked_for_again_before_it_runs_out(
    make: Make, directory: Directory, clock: ManualClock
) -> None:
    groups = make(ttl=300.0, negative_ttl=60.0)
    assert True is settled(groups)
    directory.members.clear()
    clock.move(250.0)

    assert True is groups.look_up(TEAM, CALLER)
    for flight in list(groups._flights.values()):
        assert flight.wait(10)
    assert False is groups.look_up(TEAM, CALLER)


@pytest.mark.parametrize(
    "down",
    [
        response(b"{}", status="500 Internal Server Error"),
        response(b"{}", status="403 Forbidden"),
        response(b"not json"),
        response(b"[]"),
        _json({}),
        _json({"name": "groups/../x"}),
        _json({"name": 7}),
        b"",
    ],
    ids=repr,
)
def test_a_failure_grants_nothing_and_is_not_repeated_at_once(
    make: Make, directory: Directory, clock: ManualClock, down: bytes
) -> None:
    groups = make(retry=10.0)
    directory.down = down

    failed = settled(groups)
    assert isinstance(failed, Unresolved)
    assert (True, None) == (TEAM in failed.reason, failed.pending)
    count = len(directory.asked)
    assert isinstance(groups.look_up(TEAM, CALLER), Unresolved)
    assert count == len(directory.asked)

    directory.down = None
    clock.move(10.0)
    assert True is settled(groups)


def test_an_answer_that_does_not_say_is_a_failure(make: Make, directory: Directory) -> None:
    groups = make()
    assert False is settled(groups, address="jane@example.com")
    directory.down = _json({"hasMembership": "true"})

    assert isinstance(settled(groups), Unresolved)


def test_an_outage_takes_no_answer_away_before_its_time(
    make: Make, directory: Directory, clock: ManualClock
) -> None:
    groups = make(ttl=300.0)
    assert True is settled(groups)
    directory.down = response(b"", status="503 Service Unavailable")

    clock.move(250.0)
    assert True is groups.look_up(TEAM, CALLER)
    for flight in list(groups._flights.values()):
        assert flight.wait(10)
    assert True is groups.look_up(TEAM, CALLER)
    assert {} == groups._flights
    clock.move(51.0)
    assert isinstance(settled(groups), Unresolved)


def test_an_outage_does_not_hide_what_else_grants(make: Make, directory: Directory) -> None:
    directory.down = response(b"", status="503 Service Unavailable")
    asked = policy(make(), MEMBER)

    assert MEMBER == asked.decide(principal()).member
    unknown = asked.decide(JANE)
    assert unknown.pending is not None
    assert unknown.pending.wait(10)
    decision = asked.decide(JANE)
    assert (False, None, None) == (decision.granted, decision.pending, decision.denied_by)
    assert "503" in str(decision.unknown)


def test_look_ups_of_the_same_are_one(make: Make, directory: Directory) -> None:
    directory.hold = threading.Event()
    groups = make()

    answers = [groups.look_up(TEAM, CALLER) for _ in range(5)]
    assert 1 == len({id(answer.pending) for answer in answers if isinstance(answer, Unresolved)})
    directory.hold.set()
    assert True is settled(groups)
    assert 2 == len(directory.asked)


def test_only_so_many_look_ups_are_under_way(make: Make, directory: Directory) -> None:
    directory.hold = threading.Event()
    groups = make(concurrency=1)
    first, second = groups.look_up(TEAM, CALLER), groups.look_up(TEAM, "jane@example.com")

    assert isinstance(first, Unresolved)
    assert isinstance(second, Unresolved)
    assert first.pending is second.pending
    assert "no look-up" in second.reason
    directory.hold.set()
    assert first.pending is not None
    assert first.pending.wait(10)
    assert False is settled(groups, address="jane@example.com")


def test_the_number_of_cached_answers_is_bounded(make: Make) -> None:
    groups = make(capacity=2)
    for number in range(5):
        assert False is settled(groups, address=f"u{number}@example.com")

    assert "2 answers" in repr(groups)
    assert False is groups.look_up(TEAM, "u4@example.com")
    assert isinstance(settled(groups, address="u0@example.com"), bool)


def test_the_number_of_cached_groups_is_bounded(make: Make, directory: Directory) -> None:
    directory.groups["other@example.com"] = "groups/02def"
    groups = make(capacity=1)
    for group in (TEAM, "other@example.com", TEAM):
        assert (group == TEAM) is settled(groups, group)

    assert 3 == len([path for path, _ in directory.asked if path == "/v1/groups:lookup"])


def test_an_address_cannot_change_the_question(make: Make, directory: Directory) -> None:
    directory.members.add(("groups/01abc", "o'brien@example.com"))

    assert True is settled(make(), address="o'brien@example.com")
    assert ("member_key_id == 'o\\'brien@example.com'") == directory.asked[-1][1]


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "tökén", 7, None], ids=repr)
def test_an_access_token_that_is_none_is_never_sent_nor_repeated(
    make: Make, directory: Directory, token: Any
) -> None:
    answer = settled(make(access_token=lambda: token))

    assert isinstance(answer, Unresolved)
    assert f"{TEAM} could not be looked up: access_token() did not return an access token" == answer.reason
    assert [] == directory.asked


def test_what_the_access_token_function_raises_is_not_repeated(make: Make) -> None:
    def fail() -> str:
        raise RuntimeError(TOKEN)

    answer = settled(make(access_token=fail))

    assert isinstance(answer, Unresolved)
    assert f"{TEAM} could not be looked up: RuntimeError" == answer.reason


def test_it_can_be_asked_by_itself_too(make: Make) -> None:
    groups = make()
    assert True is settled(groups)

    assert True is groups(TEAM.upper(), principal())
    assert False is groups(TEAM, NAMELESS)


def test_a_child_process_begins_look_ups_of_its_own(
    make: Make, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.hold = threading.Event()
    groups = make()
    parents = groups.look_up(TEAM, CALLER)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    childs = groups.look_up(TEAM, CALLER)
    directory.hold.set()

    assert isinstance(parents, Unresolved)
    assert isinstance(childs, Unresolved)
    assert parents.pending is not childs.pending
    for one in (parents, childs):
        assert one.pending is not None
        assert one.pending.wait(10)


def test_without_a_thread_for_a_look_up_the_answer_is_unresolved(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flight, "start", lambda *_: False)

    assert Unresolved("no look-up of group members can start now", None) == make().look_up(TEAM, CALLER)


@pytest.mark.parametrize(
    "settings",
    [
        {"ttl": 0},
        {"negative_ttl": -1},
        {"retry": 0},
        {"capacity": 0},
        {"concurrency": 0},
        {"base_url": "http://cloudidentity.googleapis.com"},
        {"base_url": "ftp://x"},
    ],
    ids=repr,
)
def test_bounds_and_addresses_that_cannot_work_are_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError):
        CloudIdentityGroups(lambda: TOKEN, **settings)
