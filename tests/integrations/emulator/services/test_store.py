"""The policies of services: set one at a time, and kept in a file."""

from __future__ import annotations

import base64
import errno
import json
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from doorward import ConfigurationError
from doorward_integrations.emulator import Emulator
from doorward_integrations.emulator.google_errors import GoogleError
from doorward_integrations.emulator.services.methods import policy_answer
from doorward_integrations.emulator.services.names import service_name
from doorward_integrations.emulator.services.store import PolicyStore
from doorward_integrations.emulator.state_file import StateFile
from support.clock import ManualClock
from support.forks import forked, forking, held_elsewhere

SERVICE = "projects/demo/locations/europe-west1/services/orders"
OTHER = "projects/demo/locations/europe-west1/services/stock"


def granting(*members: str) -> dict[str, Any]:
    return {"bindings": [{"role": "roles/run.invoker", "members": list(members)}]}


ALL = granting("allUsers")
NONE = granting("user:jane@example.com")


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "policies.json")


def test_a_restarted_store_has_the_same_policies_and_etags(file: StateFile, clock: ManualClock) -> None:
    store = PolicyStore(clock, file)
    store.set(SERVICE, ALL)
    store.set(OTHER, {**NONE, "auditConfigs": [{"service": "allServices"}]}, {"bindings", "auditConfigs"})
    again = PolicyStore(clock, file)

    assert [SERVICE, OTHER] == again.names()
    for service in (SERVICE, OTHER):
        assert policy_answer(store.get(service)) == policy_answer(again.get(service))


def test_the_file_is_the_users_alone(file: StateFile) -> None:
    PolicyStore(file=file).set(SERVICE, ALL)

    assert 0o600 == stat.S_IMODE(file.path.stat().st_mode)
    assert [file.path.name] == [one.name for one in file.path.parent.iterdir()]


def test_a_policy_that_cannot_be_kept_is_not_set(tmp_path: Path) -> None:
    full = False

    def write(path: str, content: bytes) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        Path(path).write_bytes(content)
        Path(path).chmod(0o600)

    file = StateFile(tmp_path / "policies.json", write)
    store = PolicyStore(file=file)
    before = store.set(SERVICE, ALL)
    full = True
    with pytest.raises(GoogleError, match="No space left on device") as refused:
        store.set(SERVICE, NONE)

    assert "INTERNAL" == refused.value.status
    assert before is store.get(SERVICE)
    assert before == PolicyStore(file=file).get(SERVICE)
    full = False
    assert store.set(SERVICE, NONE) == PolicyStore(file=file).get(SERVICE)


FULL = """
import resource, sys
from doorward_integrations.emulator import Emulator
from doorward_integrations.emulator.google_errors import GoogleError
service = "projects/demo/locations/europe-west1/services/orders"
emulator = Emulator(state=sys.argv[1])
binding = {"role": "roles/run.invoker", "members": ["allUsers"]}
emulator.services.set(service, {"bindings": [binding]})
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
many = [f"user:u{number}@example.com" for number in range(100)]
try:
    emulator.services.set(service, {"bindings": [binding | {"members": many}]})
except GoogleError as error:
    print(error.status, error.message)
try:
    emulator.issuer.rotate()
except Exception as error:
    print(type(error).__name__, error)
print(emulator.issuer.current.kid, emulator.services.get(service)["etag"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_that_is_full_loses_neither_policies_nor_keys(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)], capture_output=True, text=True, timeout=60, check=True
    )
    policy, key, held = done.stdout.splitlines()
    again = Emulator(state=folder)

    assert policy.startswith("INTERNAL The policy was not set, and the one before is in force")
    assert key.startswith("StateError ")
    assert "could not be written: File too large" in key
    assert held == f"{again.issuer.current.kid} {again.services.get(SERVICE)['etag']}"
    assert {"keys.json", "policies.json"} == {one.name for one in folder.iterdir()}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is not what this emulator writes"),
        ("{", "is not what this emulator writes"),
        ("{}", "its 'format' is not 1"),
        ('{"format": 2}', "its 'format' is not 1"),
        ('{"format": 1, "policies": []}', "no object"),
        ('{"format": 1, "policies": {"a": {}}}', "no etag"),
        ('{"format": 1, "policies": {"a": {"etag": "ACAB"}}}', "no etag"),
        ('{"format": 1, "policies": {"a": {"bindings": 1}}}', "must be a list"),
    ],
    ids=range(8),
)
def test_a_file_that_holds_something_else_is_not_used_nor_overwritten(
    content: str, why: str, file: StateFile
) -> None:
    file.path.write_text(content)
    file.path.chmod(0o600)

    with pytest.raises(ConfigurationError, match=why):
        PolicyStore(file=file)
    assert content == file.path.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_file_that_is_open_to_others_is_not_used(file: StateFile) -> None:
    PolicyStore(file=file).set(SERVICE, ALL)
    file.path.chmod(0o644)

    with pytest.raises(ConfigurationError, match=r"mode 0644\): chmod 600"):
        PolicyStore(file=file)


def test_an_etag_grows_whatever_the_clock_does(clock: ManualClock, file: StateFile) -> None:
    store = PolicyStore(clock, file)
    first = store.set(SERVICE, ALL)
    clock.move(-1_000_000)
    second = store.set(OTHER, ALL)
    third = PolicyStore(clock, file).set(SERVICE, ALL)

    assert first.number < second.number < third.number
    assert 8 == len(base64.b64decode(third.etag))


def test_of_two_writers_with_one_etag_one_is_refused() -> None:
    store = PolicyStore()
    etag = store.get(SERVICE).etag
    start = threading.Barrier(8)

    def write(number: int) -> str:
        start.wait()
        try:
            store.set(SERVICE, {**granting(f"user:u{number}@example.com"), "etag": etag})
        except GoogleError as error:
            return error.status
        return "set"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, range(8)))

    assert ["ABORTED"] * 7 + ["set"] == sorted(outcomes)


def test_writers_who_read_and_retry_lose_no_change(file: StateFile) -> None:
    store = PolicyStore(file=file)

    def add(number: int) -> None:
        while True:
            policy = policy_answer(store.get(SERVICE))
            members = [one for binding in policy.get("bindings", ()) for one in binding["members"]]
            grown = granting(*members, f"user:u{number}@example.com")
            try:
                store.set(SERVICE, {**grown, "etag": policy["etag"]})
            except GoogleError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))

    (binding,) = PolicyStore(file=file).get(SERVICE).document["bindings"]
    assert {f"user:u{number}@example.com" for number in range(12)} == set(binding["members"])


def test_what_was_given_can_be_changed_afterwards() -> None:
    store, given = PolicyStore(), granting("allUsers")
    stored = store.set(SERVICE, given)
    given["bindings"][0]["members"].append("user:eve@example.com")
    policy_answer(stored)["bindings"].clear()

    assert ALL["bindings"] == stored.document["bindings"]


@pytest.mark.parametrize("given", [{"bindings": {1, 2}}, {"bindings": [float("nan")]}, {1: 2}], ids=str)
def test_what_is_not_json_is_refused(given: Any) -> None:
    with pytest.raises(GoogleError, match="INVALID_ARGUMENT"):
        PolicyStore().set(SERVICE, given)


@forking
def test_a_child_sets_a_policy_while_another_thread_of_its_parent_does() -> None:
    store = PolicyStore()

    with held_elsewhere(store._lock):
        assert forked(lambda: bool(store.set(SERVICE, ALL).number))


@pytest.mark.parametrize("name", ["orders", "projects/p", f"{SERVICE}/x", f"{SERVICE}\n", "", None], ids=repr)
def test_what_is_no_name_of_a_service_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="no name of a service"):
        service_name(name)


member_lists = st.lists(
    st.sampled_from(["allUsers", "user:a@example.com", "group:g@example.com"]), min_size=1, max_size=3
)


class Store(RuleBasedStateMachine):
    """A store beside a model: the policies that are in force, and which etags are out of date."""

    etags = Bundle("etags")

    @initialize()
    def begin(self) -> None:
        self.content: bytes | None = None
        self.clock = ManualClock()
        self.file = StateFile(Path("policies.json"), self.write)
        self.file.read = self.read  # type: ignore[method-assign]  # of no file
        self.store = PolicyStore(self.clock, self.file)
        self.model: dict[str, dict[str, Any]] = {}
        self.full = False

    def write(self, _path: str, content: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        self.content = content

    def read(self) -> dict[str, object]:
        return {} if self.content is None else json.loads(self.content)

    @rule(target=etags, service=st.sampled_from([SERVICE, OTHER]))
    def read_etag(self, service: str) -> tuple[str, str]:
        return service, self.store.get(service).etag

    @rule(held=etags, members=member_lists, conditional=st.booleans(), version=st.sampled_from([1, 3]))
    def set_with_etag(
        self, held: tuple[str, str], members: list[str], version: int, *, conditional: bool
    ) -> None:
        service, etag = held
        self.set_policy(service, members, version, etag, conditional=conditional)

    @rule(
        service=st.sampled_from([SERVICE, OTHER]),
        members=member_lists,
        conditional=st.booleans(),
        version=st.sampled_from([1, 3]),
    )
    def set_without_etag(self, service: str, members: list[str], version: int, *, conditional: bool) -> None:
        self.set_policy(service, members, version, None, conditional=conditional)

    def set_policy(
        self, service: str, members: list[str], version: int, etag: str | None, *, conditional: bool
    ) -> None:
        binding: dict[str, Any] = {"role": "roles/run.invoker", "members": members}
        if conditional:
            binding["condition"] = {"expression": "true", "title": "always"}
        given: dict[str, Any] = {"bindings": [binding], "version": version}
        before = self.model.get(service, {"etag": "ACAB", "bindings": []})
        had_condition = any("condition" in one for one in before["bindings"])
        expected = "set"
        if conditional and version != 3:
            expected = "INVALID_ARGUMENT"
        elif etag is not None and etag != before["etag"]:
            expected = "ABORTED"
        elif etag is not None and had_condition and version != 3:
            expected = "INVALID_ARGUMENT"
        elif self.full:
            expected = "INTERNAL"
        given = given if etag is None else {**given, "etag": etag}
        if expected != "set":
            with pytest.raises(GoogleError) as refused:
                self.store.set(service, given)
            assert expected == refused.value.status
        else:
            stored = self.store.set(service, given)
            assert stored.etag not in {one["etag"] for one in self.model.values()}
            self.model[service] = {"etag": stored.etag, "bindings": [binding]}

    @rule(seconds=st.sampled_from([-100_000, -1, 0, 1, 100_000]))
    def move_clock(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule(full=st.booleans())
    def fill(self, *, full: bool) -> None:
        self.full = full

    @rule()
    def restart(self) -> None:
        self.store = PolicyStore(self.clock, self.file)

    @invariant()
    def has_what_was_set_last(self) -> None:
        for service in (SERVICE, OTHER):
            held = self.model.get(service, {"etag": "ACAB", "bindings": []})
            assert held["etag"] == self.store.get(service).etag
            assert held["bindings"] == self.store.get(service).document.get("bindings", [])


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
