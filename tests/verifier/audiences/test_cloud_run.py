"""Which audiences are those of one Cloud Run service or function."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import ConfigurationError
from doorward.audiences.audience import Audience, Audiences
from doorward.audiences.cloud_run import CloudRunAudience
from doorward.errors import ClaimError, Reason
from support.world import World

NUMBERED = "https://orders-1234567890.europe-west1.run.app"
HASHED = "https://orders-cldtjniqvq-ew.a.run.app"
FUNCTION = "https://europe-west1-my-project.cloudfunctions.net/resize"
BOTH = CloudRunAudience([NUMBERED, HASHED])
STRICT = CloudRunAudience([NUMBERED, HASHED], allow_path=False)
TAGGED = CloudRunAudience([NUMBERED, HASHED], allow_tags=True)
LOOSE = CloudRunAudience([NUMBERED, HASHED, FUNCTION], allow_tags=True)


@pytest.mark.parametrize("url", [NUMBERED, HASHED])
@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("audience", [BOTH, STRICT, TAGGED], ids=["default", "strict", "tagged"])
def test_both_forms_of_the_url_are_accepted_with_and_without_a_slash(
    audience: CloudRunAudience, url: str, end: str
) -> None:
    assert audience.accepts(url + end)


@pytest.mark.parametrize("path", ["/handler", "/a/b/c", "/projects/p/topics/t", "/a//b", "/~x!$&'()*+,;=:@"])
def test_a_path_is_accepted_unless_it_is_switched_off(path: str) -> None:
    assert BOTH.accepts(NUMBERED + path)
    assert not STRICT.accepts(NUMBERED + path)


@pytest.mark.parametrize(
    "end",
    [
        "?",
        "?a=b",
        "/?a=b",
        "/handler?a=b",
        "#",
        "#top",
        "/handler#top",
        ":443",
        ":443/",
        ":8080/handler",
        ":",
        ".",
        "./",
        "%2f",
        "/%2e%2e",
        "/a%",
        "/\\evil.example",
        "\\",
        "\\@evil.example",
        "@evil.example",
        "@evil.example/",
        ".evil.example",
        "/ ",
        " ",
        "\n",
        "/\n",
        "/a\nb",
        "/\x00",
        "/caf\u00e9",
        "/\u2215",
    ],
    ids=repr,
)
@pytest.mark.parametrize("url", [NUMBERED, HASHED])
def test_no_query_fragment_port_or_trick_follows_the_host(url: str, end: str) -> None:
    assert not LOOSE.accepts(url + end)


@pytest.mark.parametrize(
    "aud",
    [
        "",
        "https://",
        "https:///",
        "orders-1234567890.europe-west1.run.app",
        "//orders-1234567890.europe-west1.run.app",
        "http://orders-1234567890.europe-west1.run.app",
        "HTTPS://orders-1234567890.europe-west1.run.app",
        "https:/orders-1234567890.europe-west1.run.app",
        "https:\\\\orders-1234567890.europe-west1.run.app",
        " https://orders-1234567890.europe-west1.run.app",
        "\thttps://orders-1234567890.europe-west1.run.app",
        "https://ORDERS-1234567890.europe-west1.run.app",
        "https://orders-1234567890.europe-west1.run.APP",
        "https://user@orders-1234567890.europe-west1.run.app",
        "https://user:pw@orders-1234567890.europe-west1.run.app/",
        "https://@orders-1234567890.europe-west1.run.app",
        "https://evil.example@orders-1234567890.europe-west1.run.app",
        "https://evil.example/orders-1234567890.europe-west1.run.app",
        "https://evil.example/https://orders-1234567890.europe-west1.run.app",
        "https://evil.example#orders-1234567890.europe-west1.run.app",
        "https://orders%2D1234567890.europe-west1.run.app",
        "https://orders-1234567890%2eeurope-west1.run.app",
        "https://%6frders-1234567890.europe-west1.run.app",
        "https://orders-1234567890.europe-west2.run.app",
        "https://orders-1234567891.europe-west1.run.app",
        "https://orders-123456789.europe-west1.run.app",
        "https://order-1234567890.europe-west1.run.app",
        "https://orders2-1234567890.europe-west1.run.app",
        "https://x.orders-1234567890.europe-west1.run.app",
        "https://orders-1234567890.europe-west1.run.app.evil.example",
        "https://orders-1234567890.europe-west1.run.apple",
        "https://orders-1234567890-europe-west1.run.app",
        "https://orders-1234567890\u3002europe-west1.run.app",
        "https://\u043erders-1234567890.europe-west1.run.app",
        "https://orders-cldtjniqvq-ez.a.run.app",
        "https://orders-cldtjniqvr-ew.a.run.app",
        "https://orders-cldtjniqvq-ew.b.run.app",
        "https://orders-cldtjniqvq-ew.run.app",
        "https://run.app",
        "https://a.run.app",
    ],
    ids=repr,
)
def test_any_other_origin_is_refused(aud: str) -> None:
    assert not LOOSE.accepts(aud)


# Tags.


@pytest.mark.parametrize("tag", ["v2", "canary", "pr-17", "a"])
@pytest.mark.parametrize("base", [NUMBERED, HASHED])
def test_the_url_of_a_tag_is_accepted_only_where_that_is_asked_for(tag: str, base: str) -> None:
    url = base.replace("https://", f"https://{tag}---")

    assert TAGGED.accepts(url)
    assert TAGGED.accepts(f"{url}/")
    assert not BOTH.accepts(url)
    assert not BOTH.accepts(f"{url}/handler")


@pytest.mark.parametrize(
    "prefix",
    [
        "---",
        "-",
        "--",
        "v2--",
        "v2-",
        "v2----",
        "-v2---",
        "v2-----",
        "V2---",
        "v.2---",
        "v_2---",
        "2v---",
        "a---b---",
    ],
)
def test_what_is_no_tag_is_refused(prefix: str) -> None:
    assert not TAGGED.accepts(NUMBERED.replace("https://", f"https://{prefix}"))


def test_a_tag_and_the_service_fit_into_one_segment_of_a_host_name() -> None:
    room = 63 - len("---orders-1234567890")

    assert TAGGED.accepts(NUMBERED.replace("https://", f"https://{'t' * room}---"))
    assert not TAGGED.accepts(NUMBERED.replace("https://", f"https://{'t' * (room + 1)}---"))


def test_a_tag_may_be_asked_for_where_a_path_is_not() -> None:
    audience = CloudRunAudience(NUMBERED, allow_tags=True, allow_path=False)
    url = NUMBERED.replace("https://", "https://v2---")

    assert audience.accepts(url)
    assert audience.accepts(f"{url}/")
    assert not audience.accepts(f"{url}/handler")


# Functions.


def test_the_audience_of_a_function_is_its_whole_url() -> None:
    function = CloudRunAudience.function(project="my-project", region="europe-west1", name="resize")

    assert function.accepts(FUNCTION)
    assert FUNCTION == str(function)


@pytest.mark.parametrize(
    "aud",
    [
        "https://europe-west1-my-project.cloudfunctions.net",
        "https://europe-west1-my-project.cloudfunctions.net/",
        f"{FUNCTION}/",
        f"{FUNCTION}/projects/p/topics/t",
        f"{FUNCTION}?a=b",
        f"{FUNCTION}#top",
        f"{FUNCTION}2",
        FUNCTION[:-1],
        "https://europe-west1-my-project.cloudfunctions.net/Resize",
        "https://europe-west1-other.cloudfunctions.net/resize",
        "https://us-central1-my-project.cloudfunctions.net/resize",
        "https://v2---europe-west1-my-project.cloudfunctions.net/resize",
        "https://europe-west1-my-project.cloudfunctions.net:443/resize",
    ],
)
def test_no_part_of_it_and_nothing_more_will_do(aud: str) -> None:
    assert not LOOSE.accepts(aud)


@pytest.mark.parametrize(
    "parts",
    [
        {"project": "my/project", "region": "europe-west1", "name": "resize"},
        {"project": "my-project", "region": "europe-west1", "name": "resize/x"},
        {"project": "my-project", "region": "europe-west1", "name": ""},
        {"project": "my-project", "region": "evil.example/", "name": "resize"},
    ],
    ids=str,
)
def test_parts_that_make_no_function_are_refused(parts: Any) -> None:
    with pytest.raises(ConfigurationError, match="not the URL of a function"):
        CloudRunAudience.function(**parts)


# Custom audiences.


@pytest.mark.parametrize(
    "custom", ["https://orders.example.com", "orders", "123-abc.apps.googleusercontent.com"]
)
def test_a_custom_audience_is_compared_exactly(custom: str) -> None:
    audience = CloudRunAudience(NUMBERED, custom_audiences=[custom], allow_tags=True)

    assert audience.accepts(custom)
    assert audience.accepts(NUMBERED)
    for other in (f"{custom}/", f"{custom}/path", custom.upper(), custom[:-1], f"v2---{custom}"):
        assert not audience.accepts(other)


@pytest.mark.parametrize("custom", ["text", [""], ["ok", ""], [7], [None]], ids=repr)
def test_custom_audiences_are_strings_that_are_not_empty(custom: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"custom audience|list of strings"):
        CloudRunAudience(NUMBERED, custom_audiences=custom)


def test_custom_audiences_have_32768_characters_as_json_at_most() -> None:
    assert CloudRunAudience(NUMBERED, custom_audiences=["x" * 32_764]).accepts("x" * 32_764)
    with pytest.raises(ConfigurationError, match="32768"):
        CloudRunAudience(NUMBERED, custom_audiences=["x" * 32_765])


# Construction.


@pytest.mark.parametrize(
    "url",
    [
        "",
        "orders-1234567890.europe-west1.run.app",
        "http://orders-1234567890.europe-west1.run.app",
        "https://orders.example.com",
        "https://run.app",
        "https://orders.run.app",
        "https://orders-1234567890.europe-west1.run.app/handler",
        "https://orders-1234567890.europe-west1.run.app?x",
        "https://orders-1234567890.europe-west1.run.app:443",
        "https://orders-1234567890.europe-west1.run.app.evil.example",
        "https://v2---orders-1234567890.europe-west1.run.app",
        "https://v2---orders-cldtjniqvq-ew.a.run.app",
        "https://Orders-1234567890.europe-west1.run.app",
        "https://europe-west1-my-project.cloudfunctions.net",
        "https://europe-west1-my-project.cloudfunctions.net/resize/x",
        f"https://{'o' * 60}-1234567890.europe-west1.run.app",
        7,
        None,
    ],
    ids=repr,
)
def test_what_is_no_url_of_cloud_run_is_refused_with_what_would_be(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="custom_audiences"):
        CloudRunAudience([url])


def test_a_service_without_a_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one URL"):
        CloudRunAudience([])


def test_the_urls_are_worked_out_from_parts() -> None:
    audience = CloudRunAudience.from_parts(
        "orders", project_number=1234567890, region="europe-west1", url_hash="cldtjniqvq", region_code="ew"
    )

    assert f"{NUMBERED} or {HASHED}" == str(audience)
    assert audience.accepts(f"{HASHED}/x")
    assert NUMBERED == str(
        CloudRunAudience.from_parts("orders", project_number="1234567890", region="europe-west1")
    )


def test_settings_reach_an_audience_made_from_parts() -> None:
    audience = CloudRunAudience.from_parts(
        "orders",
        project_number=1234567890,
        region="europe-west1",
        custom_audiences=["own"],
        allow_path=False,
        allow_tags=True,
    )

    assert audience.accepts("own")
    assert audience.accepts(NUMBERED.replace("https://", "https://v2---"))
    assert not audience.accepts(f"{NUMBERED}/x")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"project_number": "my-project"}, "its id will not do"),
        ({"project_number": ""}, "its id will not do"),
        ({"service": "Orders"}, "custom_audiences"),
        ({"service": "v2---orders"}, "custom_audiences"),
        ({"service": ""}, "custom_audiences"),
        ({"service": "o" * 60}, "custom_audiences"),
        ({"region": "europe"}, "custom_audiences"),
        ({"region": "europe-west1.evil.example/"}, "custom_audiences"),
        ({"url_hash": "abc"}, "go together"),
        ({"region_code": "ew"}, "go together"),
        ({"url_hash": "a.b", "region_code": "ew"}, "custom_audiences"),
    ],
    ids=str,
)
def test_parts_that_make_no_url_are_refused(changed: Any, says: str) -> None:
    parts = {"service": "orders", "project_number": 1234567890, "region": "europe-west1"} | changed
    with pytest.raises(ConfigurationError, match=says):
        CloudRunAudience.from_parts(parts.pop("service"), **parts)


# Descriptions.

VERSION_1: dict[str, Any] = {
    "apiVersion": "serving.knative.dev/v1",
    "metadata": {
        "annotations": {
            "run.googleapis.com/urls": json.dumps([NUMBERED, HASHED, FUNCTION]),
            "run.googleapis.com/custom-audiences": '["https://orders.example.com", "orders"]',
        },
        "name": "orders",
    },
    "status": {"url": HASHED},
}
VERSION_2: dict[str, Any] = {
    "name": "projects/p/locations/europe-west1/services/orders",
    "urls": [NUMBERED, HASHED, FUNCTION],
    "uri": HASHED,
    "customAudiences": ["https://orders.example.com", "orders"],
}


@pytest.mark.parametrize("description", [VERSION_1, VERSION_2], ids=["v1", "v2"])
def test_a_description_names_all_audiences(description: Any) -> None:
    audience = CloudRunAudience.from_description(description)

    for aud in (NUMBERED, HASHED, FUNCTION, "https://orders.example.com", "orders", f"{NUMBERED}/x"):
        assert audience.accepts(aud)
    assert not audience.accepts("https://orders.example.com/x")


@pytest.mark.parametrize("description", [{"status": {"url": HASHED}}, {"uri": HASHED}], ids=str)
def test_one_url_is_enough(description: Any) -> None:
    assert HASHED == str(CloudRunAudience.from_description(description))
    strict = CloudRunAudience.from_description(description, allow_path=False, allow_tags=True)
    assert not strict.accepts(f"{HASHED}/x")
    assert strict.accepts(HASHED.replace("https://", "https://v2---"))


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ({}, "names no URL"),
        ([], "is an object"),
        ({"status": {}}, "names no URL"),
        ({"status": {"url": 7}}, "names no URL"),
        ({"metadata": []}, "'metadata' is not an object"),
        ({"metadata": {"annotations": "x"}}, "'annotations' is not an object"),
        ({"metadata": {"annotations": {"run.googleapis.com/urls": "https://x"}}}, "JSON array of strings"),
        ({"metadata": {"annotations": {"run.googleapis.com/urls": '{"a": 1}'}}}, "JSON array of strings"),
        ({"metadata": {"annotations": {"run.googleapis.com/urls": "[" * 100_000}}}, "JSON array of strings"),
        ({"metadata": {"annotations": {"run.googleapis.com/urls": [NUMBERED]}}}, "JSON array of strings"),
        ({"metadata": {"annotations": {"run.googleapis.com/urls": "[7]"}}}, "array of strings"),
        ({"uri": HASHED, "customAudiences": "orders"}, "array of strings"),
        ({"uri": HASHED, "customAudiences": [""]}, "not empty"),
        ({"urls": ["https://orders.example.com"]}, "custom_audiences"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_description_is_refused(description: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        CloudRunAudience.from_description(description)


# In a verifier.


def test_a_verifier_takes_it_for_an_audience(world: World) -> None:
    verifier = world.verifier(BOTH)

    assert isinstance(BOTH, Audience)
    assert (
        "caller@doorward-test.iam.gserviceaccount.com"
        == verifier.verify(world.token(aud=f"{HASHED}/x")).email
    )
    with pytest.raises(ClaimError) as caught:
        verifier.verify(world.token(aud=f"{HASHED}?x"))
    assert (Reason.WRONG_AUDIENCE, "aud") == (caught.value.reason, caught.value.claim)
    assert HASHED in caught.value.message


def test_it_stands_beside_exact_audiences() -> None:
    audiences = Audiences([BOTH, "own"])

    assert [True, True, False] == [audiences.accepts(aud) for aud in ("own", f"{HASHED}/x", "own/x")]


def test_its_repr_shows_audiences_and_settings() -> None:
    assert f"CloudRunAudience({HASHED}, allow_path=False, allow_tags=True)" == repr(
        CloudRunAudience(HASHED, allow_path=False, allow_tags=True)
    )


# Open inputs.

ANY_CHARACTER = st.sampled_from(string.printable + "\u3002\u0130\u212a\x00\u043e")


@given(
    st.integers(8, len(NUMBERED)),
    ANY_CHARACTER,
    st.sampled_from(["insert", "replace"]),
    st.sampled_from(["", "/", "/x"]),
)
@settings(deadline=None, max_examples=500)
def test_no_host_but_its_own_is_ever_accepted(at: int, character: str, how: str, end: str) -> None:
    """One character put in or changed anywhere in the host makes another host, unless it begins the path."""
    rest = NUMBERED[at + (how == "replace") :]
    changed = NUMBERED[:at] + character + rest + end
    begins_the_path = at == len(NUMBERED) and character == "/"
    same = changed.removesuffix(end) == NUMBERED

    assert (begins_the_path or same) == LOOSE.accepts(changed)


@given(st.text(alphabet=st.sampled_from("abz019-./:@%#?\\A---"), max_size=40))
@settings(deadline=None, max_examples=300)
def test_whatever_stands_before_the_host_only_a_tag_is_accepted(prefix: str) -> None:
    accepted = LOOSE.accepts(f"https://{prefix}{NUMBERED.removeprefix('https://')}")

    tag = prefix.removesuffix("---")
    plain = (
        bool(tag) and tag[0] in "abz" and tag[-1] != "-" and set(tag) <= set("abz019-") and "---" not in tag
    )
    fits = len(prefix + "orders-1234567890") <= 63
    assert (prefix == "" or (prefix == f"{tag}---" and plain and fits)) == accepted


@given(st.text(max_size=80))
@settings(deadline=None, max_examples=300)
def test_no_text_at_all_raises(aud: str) -> None:
    assert (aud in {NUMBERED, HASHED, FUNCTION}) == LOOSE.accepts(aud)
