"""The settings of a door, from the environment and from code."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from doorward import (
    IAP,
    Admission,
    ConfigurationError,
    Door,
    InvokerPolicy,
    Issuer,
    KeyCache,
    PlainRequest,
    Reason,
    Refusal,
    WatchedPolicy,
    find_iap_assertion,
)
from doorward.door.events import Decided
from doorward_integrations.asgi import InvokerMiddleware
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.settings import SettingError, Settings, settings
from support.servers import asgi_server
from support.tokens import AUDIENCE, MEMBER
from support.world import World

OTHER = "serviceAccount:other@doorward-test.iam.gserviceaccount.com"
CLIENT = "client.apps.googleusercontent.com"


def bound(*members: str) -> dict[str, Any]:
    return {"bindings": [{"role": "roles/run.invoker", "members": list(members)}]}


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, document: object) -> str:
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    return write


@pytest.fixture
def least(file: Callable[..., str]) -> dict[str, str]:
    """The environment with which a door can be made."""
    return {"DOORWARD_AUDIENCE": AUDIENCE, "DOORWARD_POLICY": file("policy.json", bound(MEMBER))}


def ask(door: Door, token: str, request: PlainRequest | None = None) -> Admission | Reason:
    headers = [(b"authorization", b"Bearer " + token.encode())]
    outcome = door.admit(headers, request or PlainRequest("/"))
    return outcome.reason if isinstance(outcome, Refusal) else outcome


def test_two_variables_make_a_door(world: World, least: dict[str, str]) -> None:
    door = settings(least, key_cache=world.cache, clock=world.clock).door()

    assert isinstance(ask(door, world.token()), Admission)
    assert Reason.PERMISSION_DENIED is ask(door, world.token(email=OTHER.partition(":")[2]))
    assert Reason.WRONG_AUDIENCE is ask(door, world.token(aud="https://other.example"))


# On Cloud Run.


@pytest.fixture
def emulator() -> Iterator[tuple[Emulator, str]]:
    emulator = Emulator()
    with emulator.serve() as running:
        yield emulator, running.host


def test_on_cloud_run_two_lines_guard_an_app_with_the_variables_of_the_platform_and_a_policy(
    emulator: tuple[Emulator, str], file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, host = emulator
    for name in [one for one in os.environ if one.startswith("DOORWARD_")]:  # of the tests themselves
        monkeypatch.delenv(name)
    for name, value in {
        "K_SERVICE": "orders",
        "K_REVISION": "orders-00001",
        "K_CONFIGURATION": "orders",
        "GCE_METADATA_HOST": host,  # the metadata server is on this machine, where the platform has its own
        "DOORWARD_POLICY": file("policy.json", bound(f"serviceAccount:{DEFAULT_ACCOUNT}")),
    }.items():
        monkeypatch.setenv(name, value)
    app: Any = Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello"))])

    # As Google's keys, those of the emulator: the platform's variables and the emulator's exclude each other.
    app = InvokerMiddleware(app, settings(key_cache=issuer_keys(host)).door())

    number, region = where(host)
    audience = f"https://orders-{number}.{region}.run.app"
    with asgi_server(app) as base:
        tokens = [issuer.issuer.mint(audience), issuer.issuer.mint("https://other.example"), None]
        answers = [
            httpx.get(base, headers={"authorization": f"Bearer {one}"} if one else {}, trust_env=False)
            for one in tokens
        ]
    assert [200, 401, 403] == [answer.status_code for answer in answers]


def where(host: str) -> tuple[str, str]:
    """Ask the metadata server for the number of the project and the region."""
    url = f"http://{host}/computeMetadata/v1/instance/region"
    parts = httpx.get(url, headers={"metadata-flavor": "Google"}, trust_env=False).text.split("/")
    return parts[1], parts[3]


def issuer_keys(host: str) -> Callable[[Issuer], KeyCache]:
    return lambda issuer: KeyCache(f"http://{host}/oauth2/v3/certs", issuer.algorithms)


def test_behind_iap_on_cloud_run_its_audience_and_its_header_follow(
    emulator: tuple[Emulator, str], least: dict[str, str]
) -> None:
    _, host = emulator
    del least["DOORWARD_AUDIENCE"]
    door = settings(
        {**least, "K_SERVICE": "orders", "GCE_METADATA_HOST": host, "DOORWARD_ISSUER": "iap"}
    ).door()

    number, region = where(host)
    audience = f"/projects/{number}/locations/{region}/services/orders"
    assert f"Verifier(audience={audience}, issuers=[iap])" == repr(door.verifier)
    assert find_iap_assertion is door.credential


def test_detection_adds_to_what_is_named(emulator: tuple[Emulator, str], least: dict[str, str]) -> None:
    _, host = emulator
    environ = {**least, "K_SERVICE": "orders", "GCE_METADATA_HOST": host}

    found = repr(settings({**environ, "DOORWARD_AUDIENCE": "detect,https://custom.example"}).verifier)

    assert "https://custom.example or https://orders-" in found


def test_elsewhere_an_audience_is_needed(least: dict[str, str]) -> None:
    del least["DOORWARD_AUDIENCE"]

    with pytest.raises(SettingError, match=r"^DOORWARD_AUDIENCE: an audience is needed"):
        settings(least).door()


@pytest.mark.parametrize("variable", ["K_SERVICE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL"])
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DOORWARD_ACCEPT_GCLOUD_TOKENS", "true", "is for development, and refused on Cloud Run"),
        ("DOORWARD_MEMBERS", "user:a@example.com,allUsers", "admits everyone with allUsers"),
        ("DOORWARD_MEMBERS", "allAuthenticatedUsers", "admits everyone with allAuthenticatedUsers"),
        ("DOORWARD_USERS_OF", "google", "admits everyone with google"),
        ("DOORWARD_EXEMPT", "GET /healthz,GET /{path:path}", "exempts every path of GET /{path:path}"),
        ("DOORWARD_EMULATOR_HOST", "127.0.0.1:8099", "is set on Cloud Run"),
    ],
)
def test_what_is_dangerous_is_refused_on_cloud_run(
    least: dict[str, str], variable: str, name: str, value: str, says: str
) -> None:
    with pytest.raises(SettingError, match=f"^{name}") as raised:
        settings({**least, variable: "orders", name: value}).door()

    assert says in str(raised.value)


def test_in_code_it_is_said_on_purpose(least: dict[str, str]) -> None:
    door = settings(
        {**least, "K_SERVICE": "orders"},
        accept_gcloud_tokens=True,
        members=["allUsers"],
        exempt=[("GET", "/{path:path}")],
    ).door()

    assert door.policy.public


def test_elsewhere_a_variable_may_do_it(least: dict[str, str]) -> None:
    further = {
        "DOORWARD_ACCEPT_GCLOUD_TOKENS": "true",
        "DOORWARD_MEMBERS": "allAuthenticatedUsers",
        "DOORWARD_EXEMPT": "GET /public/{rest:path}",
    }
    door = settings(least | further).door()

    assert isinstance(door.admit([], PlainRequest("/public/a/b")), Admission)
    assert "accept_gcloud_tokens=True" in repr(door.verifier)


@pytest.mark.parametrize("value", ["1", "true", ""])
def test_no_variable_confirms_that_the_check_in_front_is_on(least: dict[str, str], value: str) -> None:
    with pytest.raises(SettingError, match=r"is set in code only: settings\(unsafe_invoker_check_is_on"):
        settings({**least, "DOORWARD_UNSAFE_INVOKER_CHECK_IS_ON": value})


# What is given in code.


def test_an_argument_wins_over_its_variable_even_over_a_mistaken_one(least: dict[str, str]) -> None:
    assert 7.0 == settings({**least, "DOORWARD_LEEWAY": "20"}, leeway=7.0).leeway
    assert 7.0 == settings({**least, "DOORWARD_LEEWAY": "many"}, leeway=7.0).leeway
    assert 20.0 == settings({**least, "DOORWARD_LEEWAY": "20"}).leeway


def test_a_mistaken_argument_is_named_as_one(least: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=r"^leeway=: leeway is 400; it must be 0 to 300 seconds$"):
        settings(least, leeway=400)
    with pytest.raises(SettingError, match=r"^leway= is not a setting: did you mean leeway\?$"):
        settings(least, leway=4)  # type: ignore[call-arg]
    with pytest.raises(SettingError, match=r"^leeway=: must be a number, not str$"):
        settings(least, leeway="4")  # type: ignore[arg-type]
    with pytest.raises(
        SettingError, match=r"^members=: must be a list, and neither it nor an entry of it empty$"
    ):
        settings(least, members=[])
    with pytest.raises(SettingError, match=r"^members= must be a text or a list of texts, not int$"):
        settings(least, members=4)  # type: ignore[arg-type]


def test_a_list_may_be_one_text_or_a_path(world: World, tmp_path: Path, least: dict[str, str]) -> None:
    found = settings(
        {}, audience=AUDIENCE, policy=least["DOORWARD_POLICY"], key_cache=world.cache, clock=world.clock
    )

    assert (AUDIENCE,) == found.audience
    assert isinstance(ask(found.door(), world.token()), Admission)


def test_listeners_are_given_in_code(world: World, least: dict[str, str]) -> None:
    decided: list[Decided] = []
    looks: list[object] = []
    found = settings(
        {**least, "DOORWARD_POLICY_WATCH": "true"},
        listener=decided.append,
        policy_listener=looks.append,
        key_cache=world.cache,
        clock=world.clock,
    )

    ask(found.door(), world.token())

    assert ["admitted"] == [one.outcome for one in decided]


# Mistakes.


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DOORWARD_LEEWAY", "thirty", "must be a number, such as 30 or 0.5"),
        ("DOORWARD_LEEWAY", "nan", "must be a number, such as 30 or 0.5"),
        ("DOORWARD_LEEWAY", "301", "leeway is 301.0; it must be 0 to 300 seconds"),
        ("DOORWARD_LEEWAY", "-1", "it must be 0 to 300 seconds"),
        ("DOORWARD_TOKEN_CACHE_SIZE", "1.5", "must be a whole number, such as 1024"),
        ("DOORWARD_TOKEN_CACHE_SIZE", "-1", "token_cache_size at least 0"),
        ("DOORWARD_MAX_TOKEN_BYTES", "0", "max_token_bytes must be at least 1"),
        ("DOORWARD_ISSUER", "moon", "'moon' is none of google, iap"),
        ("DOORWARD_ISSUER", "google,,iap", "has an empty entry: write A,B,C"),
        ("DOORWARD_ISSUER", "iap,google", "iap stands alone"),
        ("DOORWARD_ISSUER", "firebase:X", "is not the id of a Firebase project"),
        ("DOORWARD_CLOUD_RUN", "https://orders.example.com", "is not the URL of a Cloud Run service"),
        ("DOORWARD_AUDIENCE", "detect", "this is not Cloud Run"),
        ("DOORWARD_POLICY", "/nowhere.json", "cannot be read: No such file"),
        ("DOORWARD_POLICY", '{"bindings": [', "JSON"),
        ("DOORWARD_MEMBERS", "ada", "ada"),
        (
            "DOORWARD_USERS_OF",
            "firebase:my-project-1",
            "is no accepted issuer: name it in DOORWARD_ISSUER too",
        ),
        ("DOORWARD_DENY_POLICY", "", "is empty: give it a value, or remove it"),
        ("DOORWARD_DENY_POLICY", "/nowhere.json", "cannot be read"),
        ("DOORWARD_GROUPS", "/nowhere.json", "/nowhere.json is not a readable JSON file: No such file"),
        ("DOORWARD_UNIQUE_IDS", "/nowhere.json", "is not a readable JSON file"),
        ("DOORWARD_PROJECT_NUMBERS", "/nowhere.json", "is not a readable JSON file"),
        ("DOORWARD_CUSTOM_ROLES", "/nowhere.json", "is not a readable JSON file"),
        ("DOORWARD_RESOURCE_TAGS", "/nowhere.json", "is not a readable JSON file"),
        ("DOORWARD_STRICT", "maybe", "must be true or false"),
        ("DOORWARD_POLICY_CHECK_EVERY", "2", "DOORWARD_POLICY_WATCH has its file followed"),
        ("DOORWARD_POLICY_CHECK_EVERY", "-2", "check_every must be 0 or more seconds"),
        ("DOORWARD_POLICY_MAX_STALE", "-2", "max_stale must be 0 or more seconds"),
        ("DOORWARD_EXEMPT", "/healthz", "must be a list of METHOD /path"),
        ("DOORWARD_EXEMPT", "GET /{bad", "the template '/{bad' is not understood"),
        ("DOORWARD_STYLE", "teapot", "'teapot' is none of cloud-run, problem-details"),
        ("DOORWARD_END_USER_REQUIRED", "true", "DOORWARD_END_USER_AUDIENCE is needed"),
        ("DOORWARD_END_USER_AUDIENCE", CLIENT, "DOORWARD_END_USER_CALLERS is needed"),
        ("DOORWARD_KEY_SNAPSHOTS", "/nowhere", "/nowhere is not a folder"),
        ("DOORWARD_KEY_MAX_STALE", "-1", "max_stale must be at least 0"),
        ("DOORWARD_KEY_PATIENCE", "0", "patience"),
        ("DOORWARD_KEY_MISS_PATIENCE", "0", "miss_patience"),
        ("DOORWARD_KEY_MISS_INTERVAL", "0", "miss_interval"),
        ("DOORWARD_KEY_MISS_BURST", "0", "miss_burst"),
        ("DOORWARD_KEY_MAX_WAITING", "0", "max_waiting"),
        ("DOORWARD_KEY_MAX_WAITING_COLD", "0", "max_waiting_cold"),
        ("DOORWARD_KEY_OBEY_MUST_REVALIDATE", "2", "must be true or false"),
        ("DOORWARD_LOG_LINES", "-1", "lines=-1 must be a whole number from 0 up"),
        ("DOORWARD_LOG_SECONDS", "0", "seconds=0.0 more than 0"),
        ("DOORWARD_PROJECT", "My Project", "must be the id of a project"),
        ("DOORWARD_EMULATOR_HOST", "example.com:80", "must be HOST:PORT of this machine"),
        ("DOORWARD_POLICIES", "x", "is not a variable of doorward: did you mean DOORWARD_POLICY?"),
        ("DOORWARD_XYZZY", "x", "is not a variable of doorward: remove it"),
        ("doorward_policy", "x", "is not a variable of doorward: did you mean DOORWARD_POLICY?"),
        ("DOORWARD_LISTENER", "x", "is set in code only: settings(listener=...)"),
    ],
)
def test_a_mistake_names_its_variable(least: dict[str, str], name: str, value: str, says: str) -> None:
    with pytest.raises(SettingError) as raised:
        settings({**least, name: value}).door()

    assert name in str(raised.value).partition(": ")[0]
    assert says in str(raised.value)
    assert isinstance(raised.value, ConfigurationError)
    assert raised.value.__cause__ is None


def test_all_mistakes_of_form_are_reported_at_once(least: dict[str, str]) -> None:
    with pytest.raises(SettingError) as raised:
        settings({**least, "DOORWARD_LEEWAY": "x", "DOORWARD_STRICT": "x", "DOORWARD_POLICIES": "x"})

    assert ["DOORWARD_LEEWAY", "DOORWARD_POLICIES", "DOORWARD_STRICT"] == [
        part.partition(" ")[0] for part in str(raised.value).split("; ")
    ]


def test_a_mistake_of_several_settings_names_all_of_them(least: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=r"^DOORWARD_AUDIENCE, DOORWARD_ISSUER: every issuer here brings"):
        settings({**least, "DOORWARD_ISSUER": "firebase:my-project-1"}).door()


@pytest.mark.parametrize("name", ["GROUPS", "UNIQUE_IDS", "PROJECT_NUMBERS", "CUSTOM_ROLES", "RESOURCE_TAGS"])
def test_a_file_beside_the_policy_is_read_as_strictly_as_the_policy(
    file: Callable[..., str], name: str
) -> None:
    environ = {
        "DOORWARD_AUDIENCE": AUDIENCE,
        "DOORWARD_MEMBERS": "user:ada@example.com",
        f"DOORWARD_{name}": file("twice.json", '{"a": [], "a": []}'),
    }
    with pytest.raises(SettingError, match=rf"^DOORWARD_{name}: .*a member name occurs twice"):
        _ = settings(environ).policy_source


def test_what_is_said_about_a_policy_that_is_not_there_is_not_ignored(file: Callable[..., str]) -> None:
    environ = {"DOORWARD_AUDIENCE": AUDIENCE, "DOORWARD_GROUPS": file("groups.json", {})}
    for further in ({}, {"DOORWARD_USERS_OF": "google"}):
        with pytest.raises(SettingError, match=r"^DOORWARD_GROUPS: .*DOORWARD_POLICY names its file"):
            settings(environ | further).door()
    with pytest.raises(SettingError, match=r"^DOORWARD_POLICY: a policy is needed"):
        settings({"DOORWARD_AUDIENCE": AUDIENCE}).door()


SECRETS = ["s3cret", "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOORWARD_ISSUER", "https://user:{}@127.0.0.1:1/x"),
        ("DOORWARD_ISSUER", "https://127.0.0.1:1/x?key={}"),
        ("DOORWARD_POLICIES", "{}"),
        ("DOORWARD_EMULATOR_HOST", "http://user:{}@127.0.0.1:1"),
        ("DOORWARD_CLOUD_RUN", "https://user:{}@orders.example"),
    ],
)
def test_no_secret_is_in_an_error(least: dict[str, str], name: str, value: str, secret: str) -> None:
    with pytest.raises(SettingError) as raised:
        settings({**least, name: value.format(secret)}).door()

    assert secret not in str(raised.value)
    assert secret[:17] not in str(raised.value).replace(name, "") or secret == "s3cret"


def test_no_secret_is_shown(least: dict[str, str]) -> None:
    hidden = {"DOORWARD_AUDIENCE": f"https://user:s3cret@a.example/?x=s3cret,{SECRETS[1]}"}
    inline = {"DOORWARD_POLICY": json.dumps(bound("user:ada@example.com"))}
    found = settings({**least, **hidden, **inline})

    shown = repr(found) + str(list(found.rows()))
    assert "https://***@a.example/?***" in shown
    assert [False, False, False] == [one in shown for one in ("s3cret", SECRETS[1][:20], "ada@example.com")]


# What the settings come to.


def test_every_variable_of_a_verifier_a_policy_and_a_door_reaches_them(
    world: World, least: dict[str, str], file: Callable[..., str]
) -> None:
    subject = "112233445566778899000"
    condition = {"title": "t", "expression": "resource.matchTag('123/env', 'prod')"}
    granted = {"role": "roles/run.invoker", "members": ["user:tag@example.com"], "condition": condition}
    custom = {"role": "projects/p/roles/caller", "members": ["user:custom@example.com"]}
    policy = {"bindings": [*bound(MEMBER, OTHER, "group:team@example.com")["bindings"], granted, custom]}
    everyone = {"deniedPrincipals": ["principal://goog/subject/denied@example.com"]}
    denied = {
        "rules": [{"denyRule": {**everyone, "deniedPermissions": ["run.googleapis.com/routes.invoke"]}}]
    }
    environ = {
        **least,
        "DOORWARD_POLICY": f"{file('a.json', policy)},{file('b.json', bound('user:denied@example.com'))}",
        "DOORWARD_MEMBERS": "user:member@example.com",
        "DOORWARD_DENY_POLICY": file("deny.json", denied),
        "DOORWARD_GROUPS": file("groups.json", {"team@example.com": ["one@example.com"]}),
        "DOORWARD_UNIQUE_IDS": file("ids.json", {OTHER: subject}),
        "DOORWARD_CUSTOM_ROLES": file("roles.json", {"projects/p/roles/caller": ["run.routes.invoke"]}),
        "DOORWARD_RESOURCE_TAGS": file("tags.json", {"123/env": "prod"}),
        "DOORWARD_STRICT": "true",
        "DOORWARD_LEEWAY": "120",
        "DOORWARD_MAX_TOKEN_BYTES": "4000",
        "DOORWARD_EXEMPT": "GET /healthz",
        "DOORWARD_STYLE": "problem-details",
        "DOORWARD_LOG_LINES": "0",
    }
    door = settings(environ, key_cache=world.cache, clock=world.clock).door()

    def said(email: str | None, **claims: Any) -> str:
        outcome = ask(door, world.token(email=email, **claims))
        return str(outcome) if isinstance(outcome, Reason) else "admitted"

    rows = {
        "admitted": [said(f"{name}@example.com") for name in ("tag", "custom", "member", "one")],
        "permission_denied": [said("denied@example.com"), said("outsider@example.com")],
    }
    assert {outcome: {outcome} for outcome in rows} == {
        outcome: set(found) for outcome, found in rows.items()
    }
    assert "admitted" == said(None, email_verified=None, sub=subject)
    assert "admitted" == said("one@example.com", exp=world.clock.now - 100, iat=world.clock.now - 3_000)
    assert "token_too_large" == said("one@example.com", padding="x" * 4_000)
    assert isinstance(door.admit([], PlainRequest("/healthz")), Admission)
    refused = door.admit([], PlainRequest("/"))
    assert isinstance(refused, Refusal)
    assert (b"content-type", b"application/problem+json") in refused.headers


def test_the_bounds_of_the_key_cache_reach_it(least: dict[str, str], tmp_path: Path) -> None:
    environ = {**least, "DOORWARD_KEY_MAX_STALE": "inf", "DOORWARD_KEY_PATIENCE": "2.5"}
    (cache,) = settings({**environ, "DOORWARD_KEY_SNAPSHOTS": str(tmp_path)}).verifier.key_caches

    assert (math.inf, 2.5) == (cache._client._max_stale, cache._patience)
    assert "https://www.googleapis.com/oauth2/v3/certs" == cache.url


def test_a_policy_file_can_be_followed(world: World, least: dict[str, str]) -> None:
    found = settings(
        {**least, "DOORWARD_POLICY_WATCH": "true", "DOORWARD_MEMBERS": OTHER},
        key_cache=world.cache,
        clock=world.clock,
    )
    source = found.policy_source

    assert isinstance(source, WatchedPolicy)
    assert least["DOORWARD_POLICY"] == str(source.path)
    assert isinstance(ask(found.door(), world.token(email=OTHER.partition(":")[2])), Admission)


@pytest.mark.parametrize(
    "further",
    [{"DOORWARD_DENY_POLICY": "/x.json"}, {"DOORWARD_POLICY": "/a.json,/b.json"}, {"DOORWARD_POLICY": "{}"}],
)
def test_several_files_cannot_be_followed(least: dict[str, str], further: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=r"^DOORWARD_POLICY_WATCH: one policy file is followed"):
        settings({**least, "DOORWARD_POLICY_WATCH": "true", **further}).door()


def test_an_end_user_is_verified_by_rules_of_its_own(world: World, least: dict[str, str]) -> None:
    further = {
        "DOORWARD_END_USER_AUDIENCE": CLIENT,
        "DOORWARD_END_USER_CALLERS": MEMBER,
        "DOORWARD_END_USER_HEADER": "X-User-Token",
        "DOORWARD_END_USER_REQUIRED": "true",
    }
    door = settings(least | further, key_cache=world.cache, clock=world.clock).door()
    caller = (b"authorization", b"Bearer " + world.token().encode())
    user = (b"x-user-token", world.token(aud=CLIENT, email="ada@example.com").encode())

    admitted, refused = door.admit([caller, user]), door.admit([caller])

    assert isinstance(admitted, Admission)
    assert admitted.end_user is not None
    assert "ada@example.com" == admitted.end_user.email
    assert isinstance(refused, Refusal)
    assert Reason.NO_END_USER is refused.reason


def test_the_users_of_an_accepted_issuer_may_be_admitted(least: dict[str, str]) -> None:
    environ = {"DOORWARD_ISSUER": "firebase:my-project-1", "DOORWARD_USERS_OF": "firebase:my-project-1"}

    found = settings(environ)

    assert isinstance(found.policy_source, InvokerPolicy)
    assert "issuers=[firebase my-project-1]" in repr(found.door().verifier)


def test_verifiers_of_one_issuer_share_its_keys(world: World, least: dict[str, str]) -> None:
    further = {"DOORWARD_END_USER_AUDIENCE": CLIENT, "DOORWARD_END_USER_CALLERS": MEMBER}
    door = settings(least | further).door()

    assert door.end_user_verifier is not None
    (one,), (other,) = door.verifier.key_caches, door.end_user_verifier.key_caches
    assert one is other


def test_the_emulator_is_that_of_the_settings_and_no_other(
    least: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", "127.0.0.1:7000")

    (cache,) = settings(least).verifier.key_caches
    assert "https://www.googleapis.com/oauth2/v3/certs" == cache.url
    (cache,) = settings({**least, "DOORWARD_EMULATOR_HOST": "127.0.0.1:8000"}).verifier.key_caches
    assert "http://127.0.0.1:8000/oauth2/v3/certs" == cache.url
    (cache,) = settings(least, emulator_host="127.0.0.1:9000", issuer="iap").verifier.key_caches
    assert "http://127.0.0.1:9000/iap/verify/public_key-jwk" == cache.url


def test_the_parts_are_made_once(least: dict[str, str]) -> None:
    found = settings(least)

    door = found.door()
    assert door is found.door()
    assert (door.verifier, door.policy) == (found.verifier, found.policy_source)


def test_nothing_is_made_before_it_is_asked_for(least: dict[str, str]) -> None:
    found = settings({**least, "DOORWARD_POLICY": "/nowhere.json", "DOORWARD_ISSUER": "https://127.0.0.1:1"})

    assert isinstance(found, Settings)


def test_the_formatter_names_the_project() -> None:
    for environ, expected in [
        ({"DOORWARD_PROJECT": "mine", "GOOGLE_CLOUD_PROJECT": "platform"}, "mine"),
        ({"GOOGLE_CLOUD_PROJECT": "platform"}, "platform"),
        ({}, None),
    ]:
        assert expected == settings(environ).formatter()._project


def test_iap_is_the_issuer_of_the_house() -> None:
    assert [IAP] == settings({"DOORWARD_ISSUER": "iap"})._parts.issuers("issuer")
