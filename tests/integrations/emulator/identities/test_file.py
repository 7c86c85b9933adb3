"""The identities file: what it says, and the errors for what it cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from doorward import ConfigurationError, Door, InvokerPolicy, Verifier
from doorward.door.refusal import Refusal
from doorward.issuers.google import EMULATOR_VARIABLE
from doorward_integrations.emulator import Account, Emulator, read_identities
from doorward_integrations.emulator.identities.file import parse_identities
from doorward_integrations.emulator.identities.permissions import GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN
from support.clock import ManualClock
from support.tokens import AUDIENCE

EXAMPLE = Path(__file__).parents[4] / "examples" / "identities.yaml"
SHOP, DEPLOYER, ORDERS = (
    f"{name}@orders-demo.iam.gserviceaccount.com" for name in ("shop", "deployer", "orders")
)


def test_the_example_says_who_there_is_and_who_may_act_as_whom() -> None:
    identities = read_identities(EXAMPLE)
    accounts = {name: identities.find(name) for name in (SHOP, DEPLOYER, ORDERS, "jane@example.com")}
    shop, deployer, orders, jane = accounts.values()

    assert shop is not None
    assert deployer is not None
    assert orders is not None
    assert jane is not None
    assert ("orders-demo", "123456789012", (SHOP,)) == (
        identities.project,
        identities.project_number,
        identities.attached,
    )
    assert ("104200000000000000001", "example.com") == (deployer.subject, jane.hosted_domain)
    assert [True, False, True] == [
        identities.may(identities.members_of(one), GET_ACCESS_TOKEN, other)
        for one, other in ((shop, deployer), (shop, orders), (deployer, orders))
    ]
    assert [True, False] == [
        identities.may(identities.members_of(jane), permission, orders)
        for permission in (GET_OPEN_ID_TOKEN, GET_ACCESS_TOKEN)
    ]
    assert identities.find("other@orders-demo.iam.gserviceaccount.com") is None


def test_the_groups_of_the_file_are_groups_of_a_door(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, clock: ManualClock
) -> None:
    identities = read_identities(EXAMPLE)
    served = Emulator(emulator.issuer, identities=identities)
    with served.serve() as running:
        monkeypatch.setenv(EMULATOR_VARIABLE, running.host)
        invokers = {"role": "roles/run.invoker", "members": ["group:callers@example.com"]}
        policy = InvokerPolicy.from_json(
            json.dumps({"bindings": [invokers]}), groups=identities.groups, unique_ids=identities.unique_ids
        )
        door = Door(Verifier(AUDIENCE, clock=clock), policy)

        def status(address: str, **claims: object) -> int:
            account = identities.find(address) or Account(address)
            token = served.issuer.mint(AUDIENCE, email=address, subject=account.subject, claims=claims)
            answer = door.admit([(b"authorization", f"Bearer {token}".encode())])
            return answer.status if isinstance(answer, Refusal) else 200

        assert [200, 200, 403] == [status(SHOP), status("jane@example.com"), status("sam@example.com")]
        # A token without an e-mail names its account by the unique id alone.
        assert 200 == status(SHOP, email=None, email_verified=None)


def test_the_same_in_json_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"
    path.write_text(json.dumps(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))), encoding="utf-8")

    assert read_identities(EXAMPLE) == read_identities(path)


def test_the_metadata_server_speaks_for_the_attached_accounts_with_their_unique_ids() -> None:
    document = {
        "project": "orders-demo",
        "service_accounts": {
            SHOP: {"unique_id": 42, "scopes": ["https://a.example/x"]},
            DEPLOYER: None,
            ORDERS: {},
        },
        "attached": [SHOP, ORDERS],
    }
    with Emulator(identities=parse_identities(document)).serve() as running:
        url = f"{running.url}/computeMetadata/v1/?recursive=true"
        whole = httpx.get(url, headers={"Metadata-Flavor": "Google"}, trust_env=False).json()

    assert {"default", SHOP, ORDERS} == set(whole["instance"]["serviceAccounts"])
    assert ["https://a.example/x"] == whole["instance"]["serviceAccounts"]["default"]["scopes"]
    assert "orders-demo" == whole["project"]["projectId"]


@pytest.mark.parametrize("document", [{}, dict.fromkeys(("groups", "users", "attached", "bindings"))])
def test_every_member_of_the_file_is_optional(document: object) -> None:
    identities = parse_identities(document)

    assert "doorward-demo" == identities.project
    assert Account(SHOP) == identities.find(SHOP)


@pytest.mark.parametrize("number", ["123456789012", 123456789012])
def test_a_number_may_stand_without_quotes(number: object) -> None:
    assert "123456789012" == parse_identities({"project_number": number}).project_number


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the file must be a mapping, not a list"),
        ({"acounts": {}}, "a member 'acounts', which is not understood: there are project, "),
        ({"project": 7}, "project cannot be 7"),
        ({"project": "Orders Demo"}, "project cannot be 'Orders Demo'"),
        ({"project_number": "x"}, "project_number cannot be 'x'"),
        ({"project_number": True}, "project_number cannot be True"),
        ({"project_number": 0}, "project_number cannot be '0'"),
        ({"service_accounts": [SHOP]}, "service_accounts must be a mapping, not a list"),
        ({"service_accounts": {"jane@example.com": None}}, "'jane@example.com' belongs to users"),
        ({"service_accounts": {"shop": None}}, "service_accounts: 'shop' is no e-mail address"),
        (
            {"service_accounts": {SHOP: {"hd": "x"}}},
            "a member 'hd', which is not understood: there are unique_id",
        ),
        ({"service_accounts": {SHOP: {"unique_id": "a"}}}, "unique_id cannot be 'a'"),
        ({"service_accounts": {SHOP: {"scopes": ["a b"]}}}, "scopes cannot be 'a b'"),
        ({"service_accounts": {SHOP: {"scopes": "a"}}}, "scopes must be a list, not a text"),
        ({"service_accounts": {SHOP: None, SHOP.upper(): None}}, "two accounts have the address"),
        ({"users": {SHOP: None}}, "belongs to service_accounts"),
        ({"users": {"jane@example.com": {"hosted_domain": "x"}}}, "hosted_domain cannot be 'x'"),
        ({"attached": SHOP}, "attached must be a list, not a text"),
        ({"attached": [7]}, "attached must be a text, not a number"),
        ({"bindings": [{"role": "roles/owner"}]}, "bindings: the role 'roles/owner' says nothing"),
        ({"bindings": [{"role": "roles/iam.serviceAccountUser", "members": [SHOP]}]}, "is not understood"),
        ({"bindings": [{"role": "roles/iam.serviceAccountUser", "condition": {}}]}, "a member 'condition'"),
        ({"bindings": [{"members": []}]}, "bindings: role must be a text, not nothing"),
        ({"groups": {"g": []}}, "groups: 'g' is no e-mail address"),
        ({"groups": {"g@example.com": "jane@example.com"}}, "must be a list, not a text"),
        ({"groups": {"g@example.com": [None]}}, "must be a text, not nothing"),
        ({"groups": {"g@example.com": ["jane@example.com"]}}, "write user:EMAIL, serviceAccount:EMAIL or"),
        ({"groups": {"g@example.com": [], "G@example.com": []}}, "the same group is listed twice"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_name(document: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_identities(document)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "a: 1\na: 2\n", "the member 'a' occurs twice"),
        ("a.yaml", "- [[", "cannot be read: "),
        ("a.json", "{", "cannot be read: "),
        ("a.yaml", "", "cannot be read: it is empty"),
        ("a.yaml", "users: &a\n  x: *a\n", "the alias 'a' names nothing"),
        ("a.yaml", "project: x\n", "project cannot be 'x'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_identities(path)

    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text(f"# {'x' * 1024 * 1024}\n", encoding="utf-8")
    for path in (tmp_path / "missing.yaml", large):
        with pytest.raises(ConfigurationError):
            read_identities(path)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(SHOP)
NAMES = (
    "project project_number service_accounts users attached bindings groups role members unique_id scopes "
    f"hosted_domain {SHOP} jane@example.com g@example.com g@example.com:"
)
names = st.sampled_from(NAMES.split())


def collections(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = names | st.text(max_size=8)
    return st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)


values = st.recursive(plain, collections, max_leaves=12)


def problem(read: Callable[[Any], object], source: Any) -> str:
    try:
        read(source)
    except ConfigurationError as error:
        return str(error)
    return ""


@given(st.dictionaries(names, values) | values)
def test_any_document_is_identities_or_one_clear_error(document: Any) -> None:
    found = problem(parse_identities, document)

    assert len(found) < 2_000
    assert found.isprintable()


texts = st.text(alphabet="{}[]:,&*!%@-\"' \nabgroups", max_size=80)


@given(st.binary(max_size=200) | texts.map(str.encode))
def test_any_bytes_are_identities_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(raw)

    assert len(problem(read_identities, path)) < 2_000


def test_the_work_grows_with_the_file_and_not_with_the_depth_of_its_groups() -> None:
    depth = 5_000
    groups = {f"g{at}@example.com": [f"group:g{at + 1}@example.com"] for at in range(depth)}
    identities = parse_identities({"groups": groups | {f"g{depth}@example.com": ["user:jane@example.com"]}})

    assert depth + 4 == len(identities.members_of(Account("jane@example.com")))
