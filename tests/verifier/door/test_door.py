from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import (
    Admission,
    ConfigurationError,
    Door,
    InvokerPolicy,
    Issuer,
    PlainRequest,
    Principal,
    Refusal,
    Verifier,
    find_iap_assertion,
    problem_details,
)
from doorward.errors import Reason
from doorward.policy.decision import Decision
from doorward.policy.request import RequestFacts
from doorward.tokens.principal import ANONYMOUS
from support.simulator import join_follow_ups
from support.tokens import MEMBER, SigningKey, b64, claims, header, signed, token
from support.world import World

Headers = list[tuple[bytes, bytes]]
Ask = Callable[[Door, Headers, str], "Admission | Refusal"]

A = b"authorization"
S = b"x-serverless-authorization"
REMOVED = b"SIGNATURE_REMOVED_BY_GOOGLE"
OTHER = "other@doorward-test.iam.gserviceaccount.com"


@pytest.fixture(params=["admit", "aadmit"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask a door in either of its two ways: whatever holds, holds for both."""
    if request.param == "admit":
        return lambda door, headers, path: door.admit(headers, PlainRequest(path))
    return lambda door, headers, path: asyncio.run(door.aadmit(headers, PlainRequest(path)))


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def public(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.all_users())


def bearer(made: str | bytes, name: bytes = A) -> tuple[bytes, bytes]:
    return name, b"Bearer " + (made.encode() if isinstance(made, str) else made)


def admitted(answer: Admission | Refusal) -> Admission:
    assert isinstance(answer, Admission), answer
    return answer


def refused(answer: Admission | Refusal) -> tuple[int, Reason]:
    assert isinstance(answer, Refusal), answer
    assert answer.reason == answer.error.reason
    return answer.status, answer.reason


def stripped(made: str) -> bytes:
    return made.encode().rpartition(b".")[0] + b"." + REMOVED


# Admissions.


def test_a_member_of_the_policy_is_admitted(ask: Ask, world: World, door: Door) -> None:
    made = world.token()

    admission = admitted(ask(door, [(b"host", b"x"), bearer(made)], "/"))

    assert MEMBER == admission.principal.member
    assert (
        Decision(granted=True, member=MEMBER, role="roles/run.invoker", same_for_every_request=True)
        == admission.decision
    )
    assert [(b"host", b"x"), (A, b"Bearer " + stripped(made))] == admission.headers


def test_a_remembered_caller_is_admitted_in_the_same_way(ask: Ask, world: World, door: Door) -> None:
    headers = [bearer(world.token())]

    first, second = admitted(ask(door, headers, "/")), admitted(ask(door, headers, "/"))

    assert first == second
    assert first.headers is not second.headers
    assert 1 == world.endpoint.fetches


def test_the_serverless_header_decides_and_the_other_is_passed_on(ask: Ask, world: World, door: Door) -> None:
    made = world.token()
    headers = [(A, b"Bearer own.own.own"), bearer(made, S)]

    assert [(A, b"Bearer own.own.own"), (S, b"Bearer " + stripped(made))] == admitted(
        ask(door, headers, "/")
    ).headers


def test_a_bad_serverless_header_is_not_made_good_by_the_other(ask: Ask, world: World, door: Door) -> None:
    assert (401, Reason.MALFORMED) == refused(ask(door, [bearer(world.token()), bearer("x", S)], "/"))
    assert (401, Reason.EMPTY_CREDENTIAL) == refused(ask(door, [bearer(world.token()), (S, b"")], "/"))


# Refusals, a reason each.


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ([], 403, Reason.NO_CREDENTIAL),
        ([(b"host", b"x")], 403, Reason.NO_CREDENTIAL),
        ([(A, b"")], 401, Reason.EMPTY_CREDENTIAL),
        ([(A, b"Bearer")], 401, Reason.EMPTY_CREDENTIAL),
        ([(A, b"Basic eDp5")], 401, Reason.UNSUPPORTED_SCHEME),
        ([(A, b"Bearer a.b.c"), (A, b"Bearer a.b.c")], 401, Reason.MULTIPLE_HEADERS),
        ([(A, b"Bearer a.b.c, Bearer d.e.f")], 401, Reason.MULTIPLE_CREDENTIALS),
        ([(A, b"Bearer ya29.a0AfB")], 401, Reason.ACCESS_TOKEN),
        ([(A, b"Bearer garbage")], 401, Reason.MALFORMED),
        ([(A, b"Bearer \xff\xfe.\x00.\xe9")], 401, Reason.MALFORMED),
        ([(A, b"Bearer a.b.c\r\nx-evil: 1")], 401, Reason.MULTIPLE_CREDENTIALS),
        ([(A, b"Bearer a.b.c\r\nx-evil:1")], 401, Reason.MALFORMED),
        ([(A, b"Bearer " + b"a" * 16_385)], 401, Reason.TOKEN_TOO_LARGE),
        ([(A, b"Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE")], 401, Reason.SIGNATURE_REMOVED),
        ([(A, b"Bearer ok"), (S, b"bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE")], 401, Reason.SIGNATURE_REMOVED),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_headers_without_a_good_credential_are_refused(
    *, ask: Ask, world: World, door: Door, headers: Headers, status: int, reason: Reason
) -> None:
    assert (status, reason) == refused(ask(door, headers, "/"))
    assert 0 == world.endpoint.fetches


def test_who_is_not_in_the_policy_may_not(ask: Ask, world: World, door: Door) -> None:
    headers = [bearer(world.token(email=OTHER))]

    for _ in range(2):
        assert (403, Reason.PERMISSION_DENIED) == refused(ask(door, headers, "/"))


def test_an_address_that_is_not_verified_may_not(ask: Ask, world: World, door: Door) -> None:
    assert (403, Reason.PERMISSION_DENIED) == refused(
        ask(door, [bearer(world.token(email_verified="true"))], "/")
    )


def test_a_token_for_another_service_is_no_credential_here(ask: Ask, world: World, door: Door) -> None:
    answer = ask(door, [bearer(world.token(aud="https://other.example"))], "/")

    assert (401, Reason.WRONG_AUDIENCE) == refused(answer)
    assert isinstance(answer, Refusal)
    assert "aud" == answer.error.claim


def test_an_unreachable_endpoint_is_a_503_and_never_a_401(ask: Ask, world: World, door: Door) -> None:
    world.endpoint.down(retry_after=2)

    answer = ask(door, [bearer(world.token())], "/")

    assert (503, Reason.KEYS_UNAVAILABLE) == refused(answer)
    assert isinstance(answer, Refusal)
    assert (b"retry-after", b"2") in answer.headers
    assert b"www-authenticate" not in dict(answer.headers)


def test_a_deeply_nested_claim_is_refused_and_does_not_bring_the_door_down(
    ask: Ask, world: World, door: Door
) -> None:
    for depth, reason in ((20, Reason.WRONG_ISSUER), (45, Reason.UNKNOWN_KEY)):
        deep = b'{"iss":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        forged = ".".join((b64(b'{"alg":"RS256","kid":"anything"}'), b64(deep), "AAAA"))

        assert (401, reason) == refused(ask(door, [bearer(forged)], "/"))


def test_the_path_shown_is_the_one_that_was_given_whatever_the_host_says(ask: Ask, door: Door) -> None:
    """CVE-2026-48710 (Starlette): a Host header that became part of the path."""
    hosts: Headers = [
        (b"host", b"evil.example/admin?x=#"),
        (b"x-forwarded-host", b"evil"),
        (b"x-original-url", b"/y"),
    ]

    answer = ask(door, hosts, "/orders/<7>")

    assert isinstance(answer, Refusal)
    assert b"<code>/orders/&lt;7&gt;</code>" in answer.body
    assert b"evil" not in answer.body


def test_a_path_decides_nothing(ask: Ask, world: World, door: Door) -> None:
    for path in ("/", "", "//", "/..", "/%2e%2e/", "/healthz", "/;x", "\x00", "*", "http://evil.example/"):
        assert (403, Reason.NO_CREDENTIAL) == refused(ask(door, [], path))
        assert admitted(ask(door, [bearer(world.token())], path)).principal.member


def test_the_style_of_refusals_is_a_setting(ask: Ask, world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=problem_details)

    answer = ask(door, [], "/x")

    assert isinstance(answer, Refusal)
    assert (b"content-type", b"application/problem+json") == answer.headers[0]


# A policy that admits everybody.


def test_everybody_is_admitted_without_a_credential(ask: Ask, public: Door) -> None:
    admission = admitted(ask(public, [(b"host", b"x")], "/"))

    assert ANONYMOUS is admission.principal
    assert (
        Decision(granted=True, member="allUsers", role="roles/run.invoker", same_for_every_request=True)
        == admission.decision
    )
    assert [(b"host", b"x")] == admission.headers


def test_a_good_credential_still_says_who_it_is(ask: Ask, world: World, public: Door) -> None:
    made = world.token()

    admission = admitted(ask(public, [bearer(made, S)], "/"))

    assert MEMBER == admission.principal.member
    assert [(S, b"Bearer " + stripped(made))] == admission.headers


@pytest.mark.parametrize(
    "value",
    [b"", b"Basic eDp5", b"Bearer own.own.own", b"Bearer ya29.x", b"Bearer a, Bearer b", b"Bearer \xff"],
)
def test_a_credential_of_the_applications_own_is_passed_on_untouched(
    ask: Ask, public: Door, value: bytes
) -> None:
    headers = [(b"host", b"x"), (A, value)]

    admission = admitted(ask(public, headers, "/"))

    assert ANONYMOUS is admission.principal
    assert headers == admission.headers


def test_a_serverless_header_that_did_not_hold_is_not_passed_on(ask: Ask, world: World, public: Door) -> None:
    forged = token(SigningKey("key-1", name="attacker"), world.clock.now)

    admission = admitted(ask(public, [bearer("own"), bearer(forged, S)], "/"))

    assert ANONYMOUS is admission.principal
    assert [bearer("own")] == admission.headers


def test_while_the_keys_are_away_everybody_is_nobody(ask: Ask, world: World, public: Door) -> None:
    world.endpoint.down()

    assert ANONYMOUS is admitted(ask(public, [bearer(world.token())], "/")).principal


@pytest.mark.parametrize("name", [A, S])
def test_a_stripped_token_is_refused_even_where_everybody_may_come(
    ask: Ask, world: World, public: Door, name: bytes
) -> None:
    """It would look to the application exactly like one that was checked (pomerium #6677)."""
    assert (401, Reason.SIGNATURE_REMOVED) == refused(
        ask(public, [bearer(stripped(world.token()), name)], "/")
    )


@pytest.mark.parametrize(
    "forge",
    [
        lambda made: [bearer("garbage", S), bearer(made)],
        lambda made: [(S, b""), bearer(made)],
        lambda made: [bearer(made), bearer(made)],
        lambda made: [bearer("x"), bearer(made)],
        lambda made: [(A, b"Bearer x, Bearer " + made)],
        lambda made: [(A, b"Bearer  x " + made)],
        lambda made: [(A, b"Bearer\t" + made)],
        lambda made: [bearer(b"." + made.partition(b".")[2])],
        lambda made: [bearer(made.replace(b".", b"." + b"e30" * 6000, 1))],
        lambda made: [bearer(b"x." + made)],
    ],
    ids=[
        "bad serverless",
        "empty serverless",
        "twice",
        "beside another",
        "joined",
        "two",
        "tab",
        "no header",
        "too large",
        "four segments",
    ],
)
def test_no_detour_brings_a_stripped_token_past_a_public_door(
    ask: Ask, world: World, public: Door, forge: Callable[[bytes], Headers]
) -> None:
    """Whatever else is wrong: nothing unchecked reaches the application in the form of something checked."""
    answer = ask(public, forge(stripped(world.token(email="root@example.com"))), "/")

    passed = answer.headers if isinstance(answer, Admission) else []
    assert not any(REMOVED in value for _, value in passed)


@pytest.mark.parametrize("name", [b"x-goog-authenticated-user-email", b"x-goog-authenticated-user-id"])
def test_identity_headers_from_outside_never_get_through(
    ask: Ask, world: World, door: Door, public: Door, name: bytes
) -> None:
    """CVE-2024-45806 (Envoy): trusted headers accepted from outside."""
    said: tuple[bytes, bytes] = (name, b"accounts.google.com:root@example.com")
    asked: list[tuple[Door, Headers]] = [
        (door, [said, bearer(world.token())]),
        (public, [said]),
        (public, [bearer("x"), said]),
    ]

    for one, headers in asked:
        assert name not in dict(admitted(ask(one, headers, "/")).headers)


def test_an_issuer_that_is_not_google_is_nobody_to_all_authenticated_users(ask: Ask, world: World) -> None:
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")
    door = Door(world.verifier(issuers=[own]), InvokerPolicy.all_authenticated_users())

    assert (403, Reason.PERMISSION_DENIED) == refused(
        ask(door, [bearer(world.token(iss="https://issuer.example"))], "/")
    )


# Doors that share a verifier.


def test_what_one_door_decided_is_not_what_another_decides(ask: Ask, world: World) -> None:
    verifier = world.verifier()
    strict = Door(verifier, InvokerPolicy.from_members(["user:nobody@example.com"]))
    open_to_it = Door(verifier, InvokerPolicy.from_members([MEMBER]))
    headers = [bearer(world.token())]

    for _ in range(3):
        assert (403, Reason.PERMISSION_DENIED) == refused(ask(strict, headers, "/"))
        assert MEMBER == admitted(ask(open_to_it, headers, "/")).principal.member


class Counting:
    """A policy that counts how often it is asked."""

    public = False

    def __init__(self, *, granted: bool = True) -> None:
        self.asked: list[Principal] = []
        self.granted = granted

    def decide(self, principal: Principal, request: RequestFacts, now: float, /) -> Decision:
        self.asked.append(principal)
        return Decision(self.granted, same_for_every_request=True)


@pytest.mark.parametrize("granted", [True, False])
def test_a_policy_is_asked_once_for_a_remembered_token(ask: Ask, world: World, granted: bool) -> None:  # noqa: FBT001 - a parameter of the test
    policy = Counting(granted=granted)
    door = Door(world.verifier(), policy)

    answers = {type(ask(door, [bearer(world.token())], "/")) for _ in range(3)}

    assert {Admission if granted else Refusal} == answers
    assert 1 == len(policy.asked)


def test_with_nothing_remembered_a_policy_is_asked_each_time(ask: Ask, world: World) -> None:
    policy = Counting()
    door = Door(world.verifier(token_cache_size=0), policy)

    for _ in range(3):
        ask(door, [bearer(world.token())], "/")

    assert 3 == len(policy.asked)


def test_a_mistake_in_a_policy_passes_through(ask: Ask, world: World) -> None:
    class Broken(Counting):
        def decide(self, principal: Principal, request: RequestFacts, now: float, /) -> Decision:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(Door(world.verifier(), Broken()), [bearer(world.token())], "/")


# The log.


def test_a_refusal_is_logged_with_its_reason_and_an_admission_is_not(
    ask: Ask, world: World, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "doorward"):
        ask(door, [bearer(world.token(email=OTHER))], "/")
        assert [
            f"refused with 403: permission_denied: serviceAccount:{OTHER} does not hold run.routes.invoke"
        ] == [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        join_follow_ups()
        caplog.clear()
        ask(door, [bearer(world.token())], "/")
        assert [] == caplog.records


def hostile_headers(world: World) -> list[Headers]:
    good = world.token()
    head, payload, signature = good.split(".")
    return [
        [bearer(f"{head}.{payload}.{'A' * len(signature)}")],
        [bearer(stripped(good))],
        [bearer(good + "=")],
        [bearer(f"{good},{good}")],
        [bearer(good), bearer(good)],
        [(A, good.encode())],
        [(A, b"Basic " + good.encode())],
        [bearer("ya29." + good)],
        [bearer(good * 30)],
        [bearer(world.token(aud="https://other.example"))],
        [bearer(world.token(exp=1_789_990_000, iat=1_789_989_000))],
        [bearer(world.token(email=OTHER))],
        [bearer(signed(world.key, header(world.key, kid=good[:200]), claims(world.clock.now)))],
        [bearer(signed(world.key, header(world.key, alg=good), claims(world.clock.now)))],
    ]


@pytest.mark.parametrize("number", range(14))
@pytest.mark.parametrize("everybody", [False, True], ids=["guarded", "public"])
def test_neither_log_nor_answer_shows_a_part_of_a_token(
    *,
    ask: Ask,
    world: World,
    door: Door,
    public: Door,
    caplog: pytest.LogCaptureFixture,
    number: int,
    everybody: bool,
) -> None:
    headers = hostile_headers(world)[number]
    with caplog.at_level(logging.DEBUG):
        answer = ask(public if everybody else door, headers, "/")

    shown = caplog.text
    if isinstance(answer, Refusal):
        shown += repr(answer)
    for _, value in headers:
        for start in range(len(value) - 16):
            piece = value[start : start + 17].decode("latin1")
            assert "SIGNATURE_REMOVE" in piece or piece not in shown


def test_a_subject_cannot_write_a_line_of_the_log(
    ask: Ask, world: World, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    made = world.token(email=None, sub="1\nrefused with 200: all is well\x1b[2J")

    ask(door, [bearer(made)], "/")

    assert "\nrefused with 200" not in caplog.text
    assert "\x1b" not in caplog.text


# Configuration.


@pytest.mark.parametrize("verifier", [None, "https://x.example", Verifier], ids=["none", "audience", "class"])
def test_a_door_needs_a_verifier(verifier: Any) -> None:
    with pytest.raises(ConfigurationError, match="a door needs a Verifier"):
        Door(verifier, InvokerPolicy.all_users())


class DecidesOnly:
    """Lacks ``public``, which is asked for on every request without a credential."""

    def decide(self, principal: Principal, request: RequestFacts, now: float, /) -> Decision:
        return Decision(granted=True, same_for_every_request=True)


@pytest.mark.parametrize(
    "policy",
    [None, "allUsers", ["allUsers"], InvokerPolicy.all_users, InvokerPolicy, DecidesOnly()],
    ids=["none", "text", "list", "not called", "the class", "without public"],
)
def test_a_door_needs_a_policy(world: World, policy: Any) -> None:
    with pytest.raises(ConfigurationError, match="a door needs a policy"):
        Door(world.verifier(), policy)


def test_a_door_gives_its_verifier(world: World) -> None:
    verifier = world.verifier()

    assert verifier is Door(verifier, InvokerPolicy.all_users()).verifier


def test_a_door_stands_on_what_gcloud_prints(ask: Ask, world: World, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(
        '{"bindings": [{"members": ["'
        + MEMBER
        + '"], "role": "roles/run.invoker"}], "etag": "x", "version": 1}'
    )
    door = Door(world.verifier(), InvokerPolicy.from_file(path))

    assert "roles/run.invoker" == admitted(ask(door, [bearer(world.token())], "/")).decision.role
    assert (403, Reason.PERMISSION_DENIED) == refused(ask(door, [bearer(world.token(email=OTHER))], "/"))


# Open inputs.


open_world = World()
GOOD = open_world.token().encode()
guarded = Door(open_world.verifier(), InvokerPolicy.from_members([MEMBER]))
unguarded = Door(open_world.verifier(), InvokerPolicy.all_users())
assert isinstance(guarded.admit([(A, b"Bearer " + GOOD)]), Admission)

header_names = st.sampled_from([A, S, b"host", b"x-goog-authenticated-user-email"]) | st.binary(max_size=6)
header_values = st.one_of(
    st.binary(max_size=40),
    st.lists(
        st.sampled_from(
            [
                b"Bearer ",
                b"bearer ",
                GOOD,
                *GOOD.split(b"."),
                b".",
                b",",
                b" ",
                b"\t",
                REMOVED,
                b"ya29.",
                b"=",
                b"\xff",
            ]
        ),
        max_size=5,
    ).map(b"".join),
)


@given(st.lists(st.tuples(header_names, header_values), max_size=5), st.text(max_size=10))
@settings(deadline=None, max_examples=400)
def test_any_headers_are_an_admission_or_a_refusal(headers: Headers, path: str) -> None:
    for door in (guarded, unguarded):
        answer = door.admit(headers, PlainRequest(path))
        assert isinstance(answer, Admission | Refusal)
        if isinstance(answer, Admission):
            assert answer.decision.granted
            assert not any(name.startswith(b"x-goog-authenticated-user-") for name, _ in answer.headers)
            if door is guarded:
                assert MEMBER == answer.principal.member
                assert any(value.endswith(GOOD) or GOOD in value for _, value in headers)
        else:
            assert answer.status in (401, 403, 503)
            assert str(len(answer.body)).encode() == dict(answer.headers)[b"content-length"]


# At a admit_cached.


def glanced(door: Door, *headers: tuple[bytes, bytes], path: str = "/") -> Admission | None:
    """Glance at a request, which must come to nothing, or to what the whole way comes to."""
    found = door.admit_cached(headers, "GET", path)
    whole = door.admit(headers, PlainRequest(path))
    assert found in (None, whole)
    return found


def test_a_request_is_admitted_at_a_glance_once_its_token_and_the_answer_are_remembered(world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    request = [(b"host", b"x"), bearer(world.token()), (b"accept", b"*/*")]

    assert door.admit_cached(request, "GET", "/") is None
    door.admit(request)
    found = door.admit_cached(request, "GET", "/")

    assert found is not None
    assert found == door.admit(request)
    assert found.headers is not request
    assert b"SIGNATURE_REMOVED_BY_GOOGLE" in found.headers[1][1]


@pytest.mark.parametrize(
    "other",
    [
        (b"authorization", b"Bearer x"),
        (b"x-serverless-authorization", b"Bearer x"),
        (b"x-serverless-authorization", b""),
        (b"x-goog-authenticated-user-email", b"accounts.google.com:jo@example.com"),
        (b"x-goog-authenticated-user-id", b"accounts.google.com:1"),
    ],
    ids=lambda header: header[0].decode(),
)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_nothing_is_seen_at_a_glance_beside_another_header_that_matters(
    world: World,
    other: tuple[bytes, bytes],
    first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    own = bearer(world.token())
    door.admit([own])

    assert glanced(door, own) is not None
    assert glanced(door, *([other, own] if first else [own, other])) is None


def test_nothing_is_seen_at_a_glance_of_a_token_that_has_expired(world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    own = bearer(world.token())
    door.admit([own])
    world.clock.now += 3631

    assert glanced(door, own) is None


def test_nothing_is_seen_at_a_glance_of_a_refused_caller_or_an_exempt_path(world: World) -> None:
    own = bearer(world.token())
    closed = Door(world.verifier(), InvokerPolicy.from_members(["user:jo@example.com"]))
    exempt = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=[("GET", "/healthz")])
    for door in (closed, exempt):
        door.admit([own])

    assert glanced(closed, own) is None
    assert glanced(exempt, own, path="/healthz") is None
    assert glanced(exempt, own, path="/orders") is not None


def test_a_policy_that_was_replaced_is_asked_anew(world: World) -> None:
    @dataclass
    class Source:
        current: InvokerPolicy

    source = Source(InvokerPolicy.from_members([MEMBER]))
    door = Door(world.verifier(), source)
    own = bearer(world.token())
    door.admit([own])
    assert glanced(door, own) is not None

    source.current = InvokerPolicy.from_members(["user:jo@example.com"])

    assert glanced(door, own) is None


def test_a_decision_on_the_request_is_never_seen_at_a_glance(world: World) -> None:
    binding = {"role": "roles/run.invoker", "members": [MEMBER]}
    condition = {"title": "path", "expression": "request.path.startsWith('/a')"}
    policy = InvokerPolicy.from_dict({"version": 3, "bindings": [binding | {"condition": condition}]})
    door = Door(world.verifier(), policy)
    own = bearer(world.token())
    door.admit([own], PlainRequest("/a"))

    assert glanced(door, own, path="/a") is None
    assert glanced(door, own, path="/b") is None


def test_a_token_in_another_place_or_with_nothing_remembered_is_not_seen_at_a_glance(world: World) -> None:
    own = bearer(world.token())
    for door in (
        Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), credential=find_iap_assertion),
        Door(world.verifier(token_cache_size=0), InvokerPolicy.from_members([MEMBER])),
    ):
        door.admit([own])
        assert glanced(door, own) is None
    lower = (own[0], b"bearer" + own[1][6:])
    plain = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    plain.admit([own])

    assert glanced(plain, own) is not None
    assert glanced(plain, lower) is None
    assert glanced(plain, (own[0], own[1][:-4])) is None
    assert glanced(plain) is None
