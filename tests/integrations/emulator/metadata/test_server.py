"""The metadata server over HTTP: the header it requires, its accounts, and its tokens."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from doorward import ConfigurationError
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Account, Emulator, Instance
from support.tokens import AUDIENCE

FLAVOR = {"Metadata-Flavor": "Google"}
V1 = "/computeMetadata/v1"
ACCOUNTS = f"{V1}/instance/service-accounts"
IDENTITY = f"{ACCOUNTS}/default/identity"
OTHER = "other@doorward-demo.iam.gserviceaccount.com"


def claims_of(answer: httpx.Response) -> dict[str, Any]:
    """Read the payload of the token that was answered, unverified."""
    assert 200 == answer.status_code
    payload = answer.text.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def ask(client: httpx.Client, path: str, **query: str) -> httpx.Response:
    """Ask as a client of Google's does, and check that the answer is the metadata server's."""
    answer = client.get(path, params=query, headers=FLAVOR)
    assert "Google" == answer.headers["metadata-flavor"]
    return answer


def test_it_is_found_by_its_header_at_the_root(client: httpx.Client) -> None:
    answer = client.get("/")

    assert 200 == answer.status_code
    assert "Google" == answer.headers["metadata-flavor"]


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "google"}, {"Metadata-Flavor": ""}])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", [f"{IDENTITY}?audience=a", f"{V1}/project/project-id", f"{V1}/nothing"])
def test_a_request_without_the_header_gets_no_answer_but_403(
    path: str, method: str, headers: dict[str, str], client: httpx.Client
) -> None:
    answer = client.request(method, path, headers=headers)

    assert 403 == answer.status_code
    assert "Missing Metadata-Flavor:Google header." == answer.text
    assert "Google" == answer.headers["metadata-flavor"]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "x-forwarded-for", "X_Forwarded_For", "x-forwarded_FOR"])
@pytest.mark.parametrize("value", ["10.0.0.1", ""])
@pytest.mark.parametrize("path", ["/", f"{V1}/project/project-id", f"{IDENTITY}?audience=a", f"{V1}/nothing"])
def test_a_request_that_a_proxy_forwarded_is_refused(
    path: str, value: str, name: str, client: httpx.Client
) -> None:
    answer = client.get(path, headers=FLAVOR | {name: value})

    assert 403 == answer.status_code
    assert "X-Forwarded-For" in answer.text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{V1}/project/project-id", "doorward-demo"),
        (f"{V1}/universe/universe-domain", "googleapis.com"),
        (f"{ACCOUNTS}/default/email", DEFAULT_ACCOUNT),
        (f"{ACCOUNTS}/{DEFAULT_ACCOUNT}/email", DEFAULT_ACCOUNT),
        ("/", "computeMetadata/\n"),
        ("/computeMetadata/", "v1/\n"),
        (f"{V1}/", "instance/\nproject/\nuniverse/\n"),
        (f"{V1}/instance/licenses/", "0/\n1/\n"),
        (f"{V1}/instance/licenses/1/id", "1001"),
        (f"{V1}/instance/attributes/", ""),
        (f"{V1}/instance/name", "doorward-emulator"),
        (f"{V1}/instance/hostname", "doorward-emulator.europe-west1-b.c.doorward-demo.internal"),
        (f"{V1}/instance/id", Instance().id),
        (f"{V1}/project/", "attributes/\nnumeric-project-id\nproject-id\n"),
        (f"{V1}/universe/", "universe-domain\n"),
        (f"{ACCOUNTS}/", f"default/\n{DEFAULT_ACCOUNT}/\n"),
        (f"{ACCOUNTS}/default/", "aliases\nemail\nidentity\nscopes\ntoken\n"),
        (f"{ACCOUNTS}/default/aliases", "default\n"),
        (f"{ACCOUNTS}/default/scopes", "https://www.googleapis.com/auth/cloud-platform\n"),
    ],
)
def test_what_is_text_is_answered_as_text(path: str, text: str, client: httpx.Client) -> None:
    answer = ask(client, path)

    assert text == answer.text
    assert answer.headers["content-type"].startswith("application/text")


def test_the_number_of_the_project_is_12_digits(emulator: Emulator, client: httpx.Client) -> None:
    number = ask(client, f"{V1}/project/numeric-project-id").text

    assert 12 == len(number)
    assert number.isdigit()
    assert emulator.metadata.project_number == number


def test_its_region_holds_the_number_of_the_project(emulator: Emulator, client: httpx.Client) -> None:
    expected = f"projects/{emulator.metadata.project_number}/regions/europe-west1"

    assert expected == ask(client, f"{V1}/instance/region").text


def test_the_directory_of_a_machine_lists_what_is_in_it(client: httpx.Client) -> None:
    names = "attributes/ hostname id licenses/ name region service-accounts/ zone"

    assert names.split() == ask(client, f"{V1}/instance/").text.split()


def test_an_instance_on_cloud_run_has_what_its_container_contract_names(emulator: Emulator) -> None:
    bare = Emulator(emulator.issuer)
    number = bare.metadata.project_number
    with bare.serve() as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        names = ask(client, f"{V1}/instance/").text.split()
        zone = ask(client, f"{V1}/instance/zone").text

    assert ["attributes/", "id", "region", "service-accounts/", "zone"] == names
    assert zone.startswith(f"projects/{number}/zones/europe-west1-")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (V1, ""),
        (f"{V1}/instance", ""),
        (f"{V1}/instance", "?recursive=true&alt=text"),
        (f"{V1}/universe", ""),
        (ACCOUNTS, ""),
        (f"{ACCOUNTS}/default", "?recursive=true"),
        (f"{ACCOUNTS}/{DEFAULT_ACCOUNT}", ""),
        (f"{V1}/instance/licenses/0", ""),
    ],
)
def test_a_directory_without_its_slash_is_redirected_to_it(
    path: str, query: str, client: httpx.Client
) -> None:
    answer = client.get(f"{path}{query}", headers=FLAVOR)

    assert 301 == answer.status_code
    assert f"{path}/{query}" == answer.headers["location"]
    assert 200 == client.get(f"{path}{query}", headers=FLAVOR, follow_redirects=True).status_code


@pytest.mark.parametrize(
    "path",
    [
        f"{V1}/nothing",
        f"{V1}//instance/",
        f"{V1}/instance//",
        f"{V1}/instance/id/",
        f"{V1}/instance/id/more",
        f"{V1}/instance/licenses/2/",
        f"{V1}/instance/licenses/-1/id",
        f"{V1}/instance/attributes/cluster-name",
        "/computeMetadata/v2/",
    ],
)
def test_a_path_that_leads_nowhere_is_not_found(path: str, client: httpx.Client) -> None:
    assert 404 == client.get(path, headers=FLAVOR).status_code


@pytest.mark.parametrize("account", [f"{DEFAULT_ACCOUNT}/", "default/"])
def test_an_account_is_described_as_google_auth_reads_it(account: str, client: httpx.Client) -> None:
    answer = ask(client, f"{ACCOUNTS}/{account}", recursive="true")

    assert "application/json" == answer.headers["content-type"]
    assert {
        "aliases": ["default"],
        "email": DEFAULT_ACCOUNT,
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    } == answer.json()


@pytest.mark.parametrize("leaf", ["", "/", "/email", "/identity?audience=a", "/token"])
def test_an_account_that_is_not_attached_is_not_found(leaf: str, client: httpx.Client) -> None:
    answer = client.get(f"{ACCOUNTS}/{OTHER}{leaf}", headers=FLAVOR)

    assert 404 == answer.status_code
    assert "Google" == answer.headers["metadata-flavor"]


def test_a_token_is_answered_bare_and_not_as_json(client: httpx.Client) -> None:
    answer = ask(client, IDENTITY, audience=AUDIENCE)
    claims = claims_of(answer)

    assert "text/html; charset=utf-8" == answer.headers["content-type"]
    assert [AUDIENCE, DEFAULT_ACCOUNT, True] == [claims["aud"], claims["email"], claims["email_verified"]]


@pytest.mark.parametrize("query", [{}, {"audience": ""}, {"format": "full"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_for_no_audience_is_not_minted(
    method: str, query: dict[str, str], client: httpx.Client
) -> None:
    answer = client.request(method, IDENTITY, params=query, headers=FLAVOR)

    assert 400 == answer.status_code
    assert "non-empty audience parameter required" == answer.text


def test_a_format_that_does_not_exist_is_refused(client: httpx.Client) -> None:
    assert 400 == ask(client, IDENTITY, audience=AUDIENCE, format="long").status_code


@pytest.mark.parametrize("query", [{}, {"format": "standard", "licenses": "TRUE"}])
def test_the_standard_format_says_nothing_of_the_machine(query: dict[str, str], client: httpx.Client) -> None:
    assert "google" not in claims_of(ask(client, IDENTITY, audience=AUDIENCE, **query))


def test_the_full_format_speaks_of_the_machine(emulator: Emulator, client: httpx.Client) -> None:
    claims = claims_of(ask(client, IDENTITY, audience=AUDIENCE, format="full"))

    assert {
        "compute_engine": {
            "instance_creation_timestamp": 1_700_000_000,
            "instance_id": Instance().id,
            "instance_name": "doorward-emulator",
            "project_id": "doorward-demo",
            "project_number": int(emulator.metadata.project_number),
            "zone": "europe-west1-b",
        }
    } == claims["google"]
    assert 19 == len(Instance().id)


def test_licences_are_in_the_token_if_they_are_asked_for(client: httpx.Client) -> None:
    claims = claims_of(ask(client, IDENTITY, audience=AUDIENCE, format="full", licenses="TRUE"))

    assert ["1000", "1001"] == claims["google"]["compute_engine"]["license_id"]


def test_without_a_machine_the_full_format_is_the_standard_one(emulator: Emulator) -> None:
    bare = Emulator(emulator.issuer)
    with bare.serve() as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        full, standard = (
            claims_of(ask(client, IDENTITY, audience=AUDIENCE, format=form)) for form in ("full", "standard")
        )

    assert standard == full


def test_the_default_account_changes_while_it_serves(emulator: Emulator, client: httpx.Client) -> None:
    emulator.accounts.use(OTHER)
    by_default, by_name = (
        claims_of(ask(client, f"{ACCOUNTS}/{account}/identity", audience=AUDIENCE))
        for account in ("default", DEFAULT_ACCOUNT)
    )

    assert (OTHER, Account(OTHER).subject) == (by_default["email"], by_default["sub"])
    assert DEFAULT_ACCOUNT == by_name["email"]
    assert [] == ask(client, f"{ACCOUNTS}/{DEFAULT_ACCOUNT}/", recursive="true").json()["aliases"]


def test_a_token_is_minted_for_a_post_with_a_certificate_chain(client: httpx.Client) -> None:
    answer = client.post(
        IDENTITY, params={"audience": AUDIENCE}, headers=FLAVOR, json={"certificate_chain": "PEM"}
    )

    assert AUDIENCE == claims_of(answer)["aud"]


@pytest.mark.parametrize("leaf", ["identity", "token"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"certificate_chain": 1}',
        b'{"certificate_chain": ""}',
        b"\xff",
        b'"' * 70_000,
    ],
    ids=range(8),
)
def test_a_post_without_a_certificate_chain_is_refused(body: bytes, leaf: str, client: httpx.Client) -> None:
    answer = client.post(
        f"{ACCOUNTS}/default/{leaf}", params={"audience": AUDIENCE}, headers=FLAVOR, content=body
    )

    assert 400 == answer.status_code


def test_nothing_else_can_be_posted(client: httpx.Client) -> None:
    answer = client.post(f"{V1}/project/project-id", headers=FLAVOR)

    assert 405 == answer.status_code
    assert "Google" == answer.headers["metadata-flavor"]


def test_an_access_token_is_clearly_not_googles(client: httpx.Client) -> None:
    first, second = (ask(client, f"{ACCOUNTS}/default/token").json() for _ in range(2))

    assert ("Bearer", 3_599) == (first["token_type"], first["expires_in"])
    assert first["access_token"].startswith("ya29.fake-from-doorward-emulator.")
    assert first["access_token"] != second["access_token"]


@pytest.mark.parametrize(
    ("query", "scopes"),
    [
        ({}, ("https://www.googleapis.com/auth/cloud-platform",)),
        ({"scopes": ""}, ("https://www.googleapis.com/auth/cloud-platform",)),
        (
            {"scopes": "https://a.example/x, https://a.example/y"},
            ("https://a.example/x", "https://a.example/y"),
        ),
    ],
)
def test_an_access_token_stands_for_its_account_and_its_scopes(
    query: dict[str, str], scopes: tuple[str, ...], emulator: Emulator, client: httpx.Client
) -> None:
    token = ask(client, f"{ACCOUNTS}/default/token", **query).json()["access_token"]
    grant = emulator.access_tokens.find(token)

    assert grant is not None
    assert (DEFAULT_ACCOUNT, scopes) == (grant.account.email, grant.scopes)


def test_a_machine_needs_a_project() -> None:
    with pytest.raises(ConfigurationError, match="id of a project"):
        Emulator(project="")


def test_a_directory_is_answered_whole_as_json_if_it_is_asked_for_recursively(
    emulator: Emulator, client: httpx.Client
) -> None:
    number = emulator.metadata.project_number
    account = {
        "aliases": ["default"],
        "email": DEFAULT_ACCOUNT,
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    }
    whole = ask(client, f"{V1}/", recursive="true").json()

    assert {
        "instance": {
            "attributes": {},
            "hostname": "doorward-emulator.europe-west1-b.c.doorward-demo.internal",
            "id": int(Instance().id),
            "licenses": [{"id": "1000"}, {"id": "1001"}],
            "name": "doorward-emulator",
            "region": f"projects/{number}/regions/europe-west1",
            "serviceAccounts": {"default": account, DEFAULT_ACCOUNT: account},
            "zone": f"projects/{number}/zones/europe-west1-b",
        },
        "project": {"attributes": {}, "numericProjectId": int(number), "projectId": "doorward-demo"},
        "universe": {"universeDomain": "googleapis.com"},
    } == whole
    assert whole["instance"] == ask(client, f"{V1}/instance/", recursive="TRUE").json()
    assert whole["project"] == ask(client, f"{V1}/project/", recursive="true", alt="json").json()


def test_a_directory_is_answered_whole_as_text_line_by_line(client: httpx.Client) -> None:
    answer = ask(client, f"{ACCOUNTS}/default/", recursive="true", alt="text")

    assert answer.headers["content-type"].startswith("application/text")
    assert (
        f"aliases default\nemail {DEFAULT_ACCOUNT}\nscopes https://www.googleapis.com/auth/cloud-platform\n"
    ) == answer.text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("project/project-id", "doorward-demo"),
        ("instance/id", int(Instance().id)),
        ("instance/service-accounts/default/scopes", ["https://www.googleapis.com/auth/cloud-platform"]),
    ],
)
def test_a_value_is_answered_as_json_if_that_is_asked_for(
    path: str, value: object, client: httpx.Client
) -> None:
    answer = ask(client, f"{V1}/{path}", alt="json")

    assert "application/json" == answer.headers["content-type"]
    assert value == answer.json()


@pytest.mark.parametrize("path", ["project/project-id", "instance/"])
def test_another_form_than_json_or_text_is_refused(path: str, client: httpx.Client) -> None:
    assert 400 == ask(client, f"{V1}/{path}", alt="xml").status_code


@pytest.mark.parametrize("path", [f"{V1}/instance", f"{V1}/instance/", V1, "/computeMetadata/"])
def test_a_directory_is_not_listed_without_the_header(path: str, client: httpx.Client) -> None:
    assert 403 == client.get(path).status_code
