"""Many services behind one door: each request is decided on by its own service, and by no other."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward import Admission, ConfigurationError, InvokerPolicy, KeyCache, Principal, Reason, Refusal
from doorward.door.events import Decided
from doorward.door.readiness import ready
from doorward.issuers.google import EMULATOR_VARIABLE, GOOGLE
from doorward.issuers.iap import IAP
from doorward.policy.decision import Decision
from doorward.policy.request import PlainRequest, RequestFacts
from doorward.services.services import Services
from support.tokens import MEMBER
from support.world import World

ORDERS = "orders-1.europe-west1.run.app"
BILLS = "bills-1.europe-west1.run.app"
GRANTED = InvokerPolicy.from_members([MEMBER])
DENIED = InvokerPolicy.from_members(["serviceAccount:other@p.iam.gserviceaccount.com"])


@pytest.fixture
def world() -> World:
    return World()


def made(world: World, **settings: Any) -> Services:
    return Services(key_cache=world.cache, clock=world.clock, **settings)


def put(
    services: Services, host: str, policy: Any = GRANTED, name: str | None = None, **changed: Any
) -> None:
    settings: dict[str, Any] = {"audience": f"https://{host}", "policy": policy, "hosts": [host], **changed}
    services.put(host.partition("-")[0] if name is None else name, **settings)


def headers(world: World, host: str, audience: str | None = None) -> list[tuple[bytes, bytes]]:
    token = world.token(aud=audience or f"https://{host}")
    return [(b"host", host.encode()), (b"authorization", b"Bearer " + token.encode())]


def decided(services: Services, sent: list[tuple[bytes, bytes]], path: str = "/") -> int:
    """Decide in every way, which must agree; return the status."""
    request = PlainRequest(path)
    outcome = services.admit(sent, request)
    later = asyncio.run(services.aadmit(sent, request))
    assert type(outcome) is type(later)
    at_once = services.admit_cached(sent, "GET", path)
    assert at_once is None or isinstance(outcome, Admission)
    return outcome.status if isinstance(outcome, Refusal) else 200


def test_each_service_has_its_own_audience(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    put(services, BILLS)
    assert 200 == decided(services, headers(world, ORDERS))
    assert 401 == decided(services, headers(world, BILLS, f"https://{ORDERS}"))
    assert 200 == decided(services, headers(world, BILLS))


def test_each_service_has_its_own_policy(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    put(services, BILLS, DENIED)
    assert [200, 403] == [decided(services, headers(world, host)) for host in (ORDERS, BILLS)]


def test_services_with_one_audience_do_not_share_what_they_decide(world: World) -> None:
    services = made(world)
    put(services, ORDERS, audience="https://both")
    put(services, BILLS, DENIED, audience="https://both")
    for _ in range(3):
        assert 200 == decided(services, headers(world, ORDERS, "https://both"))
        assert 403 == decided(services, headers(world, BILLS, "https://both"))


def test_an_unknown_host_is_answered_with_404_whatever_the_token(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    refusal = services.admit(headers(world, "elsewhere.run.app"), PlainRequest("/x"))
    assert isinstance(refusal, Refusal)
    assert (404, Reason.UNKNOWN_SERVICE) == (refusal.status, refusal.reason)
    assert b"Not Found" in refusal.body


def test_without_services_every_request_is_answered_with_404(world: World) -> None:
    services = made(world)
    assert bool(services)
    assert 404 == decided(services, headers(world, ORDERS))


def test_a_removed_service_is_unknown_at_once(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    assert 200 == decided(services, headers(world, ORDERS))
    assert services.remove("orders")
    assert 404 == decided(services, headers(world, ORDERS))
    assert not services.remove("orders")


def test_a_service_that_comes_again_knows_nothing_of_its_predecessor(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    assert 200 == decided(services, headers(world, ORDERS))
    services.remove("orders")
    put(services, ORDERS, DENIED)
    assert 403 == decided(services, headers(world, ORDERS))


def test_a_changed_policy_decides_at_once_and_keeps_the_verified_tokens(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    sent = headers(world, ORDERS)
    assert 200 == decided(services, sent)
    put(services, ORDERS, DENIED)
    assert 403 == decided(services, sent)
    put(services, ORDERS)
    world.key.private = None  # type: ignore[assignment]  # a token that is verified anew cannot be signed either
    assert 200 == decided(services, sent)


def test_a_changed_audience_forgets_the_verified_tokens(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    sent = headers(world, ORDERS)
    assert 200 == decided(services, sent)
    put(services, ORDERS, audience="https://new")
    assert 401 == decided(services, sent)


def test_a_changed_host_leads_no_more_to_the_service(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    services.put("orders", audience=f"https://{ORDERS}", policy=GRANTED, hosts=[BILLS])
    assert 404 == decided(services, headers(world, ORDERS))
    assert 200 == decided(services, headers(world, BILLS, f"https://{ORDERS}"))


def test_a_cached_admission_is_given_at_once(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    sent = headers(world, ORDERS)
    assert services.admit_cached(sent, "GET", "/") is None
    services.admit(sent)
    admission = services.admit_cached(sent, "GET", "/")
    assert isinstance(admission, Admission)
    assert services.admit_cached(headers(world, BILLS), "GET", "/") is None


def test_all_services_share_the_key_cache_of_an_issuer(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    put(services, BILLS)
    assert [200, 200] == [decided(services, headers(world, host)) for host in (ORDERS, BILLS)]
    assert 1 == world.endpoint.fetches
    caches = {id(cache) for verifier, _ in services.parts for cache in verifier.key_caches}
    assert 1 == len(caches)


def test_without_a_factory_they_share_one_key_cache_too() -> None:
    services = Services()
    doors = [
        services.put(name, audience=f"https://{name}", policy=GRANTED, hosts=[name]) for name in ("a", "b")
    ]
    (first,), (second,) = (door.verifier.key_caches for door in doors)
    assert isinstance(first, KeyCache)
    assert first is second


def test_the_emulator_is_named_once_in_the_log_for_all_services(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(EMULATOR_VARIABLE, "127.0.0.1:8099")
    services = Services(issuers=iter([GOOGLE, IAP]))
    for name in ("a", "b"):
        door = services.put(name, audience=f"https://{name}", policy=GRANTED, hosts=[name])
        assert "127.0.0.1:8099" in repr(door.verifier.key_caches)

    warnings = [one.getMessage() for one in caplog.records if "of the emulator" in one.getMessage()]
    assert ["google", "iap"] == sorted(one.split()[4] for one in warnings)


def test_all_services_share_the_bound_on_verified_tokens(world: World) -> None:
    services = made(world, token_cache_size=10)
    for number in range(20):
        put(services, f"s{number}-1.run.app", name=f"s{number}")
    for number in range(20):
        assert 200 == decided(services, headers(world, f"s{number}-1.run.app"))
    cache = services._token_cache
    assert cache is not None
    assert 10 >= len(cache)


def test_the_token_cache_can_be_turned_off(world: World) -> None:
    services = made(world, token_cache_size=0)
    put(services, ORDERS)
    sent = headers(world, ORDERS)
    assert 200 == decided(services, sent)
    assert services.admit_cached(sent, "GET", "/") is None


def test_an_exempt_path_is_exempt_at_every_service_and_at_none(world: World) -> None:
    services = made(world, exempt=[("GET", "/healthz")])
    put(services, ORDERS)
    assert 200 == decided(services, [(b"host", ORDERS.encode())], "/healthz")
    assert 200 == decided(services, [(b"host", b"10.0.0.1")], "/healthz")
    assert [403, 404] == [decided(services, [(b"host", host.encode())]) for host in (ORDERS, "10.0.0.1")]


def test_a_listener_receives_every_decision_once(world: World) -> None:
    seen: list[Decided] = []
    services = made(world, listener=seen.append, exempt=[("GET", "/healthz")])
    put(services, ORDERS)
    services.admit(headers(world, ORDERS))
    services.admit([(b"host", b"elsewhere")])
    services.admit([(b"host", b"elsewhere")], PlainRequest("/healthz"))
    assert ["admitted", "refused", "exempt"] == [event.outcome for event in seen]
    assert [None, 404, None] == [event.status for event in seen]


def test_readiness_names_each_issuer_once_and_each_policy(world: World) -> None:
    services = made(world)
    assert ["keys", "policy"] == [part["part"] for part in ready(services)["parts"]]
    put(services, ORDERS)
    put(services, BILLS)
    services.warm()
    found = ready(services)
    assert (True, ["keys", "policy", "policy"]) == (found["ready"], [part["part"] for part in found["parts"]])


def test_keys_are_warmed_before_there_is_a_service(world: World) -> None:
    services = made(world)
    asyncio.run(services.awarm())
    assert 1 == world.endpoint.fetches


def test_what_a_service_cannot_have_changes_nothing(world: World) -> None:
    services = made(world)
    put(services, ORDERS)
    with pytest.raises(ConfigurationError, match="'orders' has the host"):
        put(services, ORDERS, name="other")
    with pytest.raises(ConfigurationError, match="by its hosts, by the prefix"):
        services.put("other", audience="https://other", policy=GRANTED)
    with pytest.raises(ConfigurationError, match="audience"):
        put(services, BILLS, audience=None)
    with pytest.raises(ConfigurationError, match="policy"):
        put(services, BILLS, policy="allUsers")
    with pytest.raises(ConfigurationError, match="the name of a service"):
        put(services, BILLS, name="")
    assert ("orders",) == services.names
    assert 1 == len(services)
    assert "orders" in services
    assert 404 == decided(services, headers(world, BILLS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"leeway": -1.0}, "leeway"),
        ({"token_cache_size": -1}, "token_cache_size"),
        ({"issuers": []}, "issuer"),
        ({"issuers": GOOGLE}, "issuers must be a list"),
        ({"issuers": ["google"]}, "issuers must be a list"),
        ({"exempt": ["/healthz"]}, "exempt"),
        ({"end_user_callers": [MEMBER]}, "need end_user"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_before_there_is_a_service(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Services(**settings)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        Services(colour="red")  # type: ignore[call-arg]


class _Recorder:
    public = False

    def __init__(self, name: str, seen: list[tuple[str, str]]) -> None:
        self.name, self.seen = name, seen

    def decide(self, _: Principal, request: RequestFacts, __: float, /) -> Decision:
        self.seen.append((self.name, request.path))
        return Decision(granted=True)


_PREFIXES = ["/a", "/a/b", "/b"]
_PATHS = st.lists(st.sampled_from(["a", "b", "..", ".", "", "%2e%2e", "a%2fb", ";x"]), min_size=1, max_size=5)


@given(segments=_PATHS)
def test_a_path_is_decided_on_by_one_service_under_all_of_its_readings(segments: list[str]) -> None:
    seen: list[tuple[str, str]] = []
    world = World()
    services = made(world)
    for prefix in _PREFIXES:
        services.put(prefix, audience="https://all", policy=_Recorder(prefix, seen), prefix=prefix)
    request = PlainRequest("/" + "/".join(segments))
    outcome = services.admit(headers(world, "any", "https://all"), request)
    expected = {
        max((p for p in _PREFIXES if f"{reading}/".startswith(f"{p}/")), key=len, default=None)
        for reading in request.readings
    }
    if isinstance(outcome, Admission):
        assert {name for name, _ in seen} == expected
        assert 1 == len(expected)
    else:
        assert (404, True) == (outcome.status, len(expected) > 1 or None in expected)


def test_names_of_parts_never_meet(world: World) -> None:
    services = made(world)
    doors = [services.put(str(n), audience="https://one", policy=GRANTED, hosts=[f"h{n}"]) for n in range(50)]
    token = world.token(aud="https://one")
    principals = [door.verifier.verify(token) for door in doors]
    assert all(one is not other for one, other in itertools.combinations(principals, 2))
