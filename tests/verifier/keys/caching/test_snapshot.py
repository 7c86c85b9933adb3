"""Keys on disk: a file is written whole or not at all, and believed only if its owner alone can write it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import logging
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from doorward import ConfigurationError, Door, InvokerPolicy, KeyCache, KeysUnavailableError, Reason
from doorward.errors import SignatureError
from doorward.keys.caching.snapshot import Snapshot, SnapshotFile
from doorward.keys.events import FetchFinished, KeyEvent, SetRefused
from doorward.keys.http.freshness import LONGEST_FRESH, Freshness, Validators
from doorward.keys.state import KeyState
from doorward_integrations.asgi import InvokerMiddleware
from support.clock import ManualClock
from support.servers import asgi_server
from support.simulator import APIS, PATIENCE, Api, SimulatedEndpoint, background, join_fetches
from support.tokens import CALLER, MEMBER, SigningKey, b64, jwks

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")
URL = "https://keys.example/certs"
NOW = ManualClock().now
STALE_AFTER = 3_600.0
DAY = 86_400.0
SNAPSHOT = Snapshot(
    URL,
    jwks(KEY),
    NOW,
    Freshness(STALE_AFTER, STALE_AFTER + DAY),
    Validators('"v1"', "Tue, 22 Sep 2026 00:00:00 GMT"),
)

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and pipes are POSIX's")
each_api = pytest.mark.parametrize("api", APIS, ids=str)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def written(path: Path) -> Path:
    """A snapshot as an earlier process has left it."""
    SnapshotFile(path).store(SNAPSHOT)
    return path


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint(KEY) as endpoint:
        yield endpoint


def refusal(path: Path, caplog: pytest.LogCaptureFixture, url: str = URL, wall: float = NOW) -> str:
    """Load a file that must not be used, and give the one warning's words."""
    caplog.clear()
    assert SnapshotFile(path).load(url, wall) is None
    (record,) = caplog.records
    assert ("doorward.keys", logging.WARNING) == (record.name, record.levelno)
    prefix, _, why = record.getMessage().partition(" is not used: ")
    assert f"the key snapshot {path}" == prefix
    return why


def sealed(**changed: Any) -> bytes:
    """Give a file whose digest fits, members of the snapshot changed as asked."""
    kept: dict[str, Any] = {
        "url": URL,
        "body": base64.b64encode(jwks(KEY)).decode(),
        "confirmed_at": NOW,
        "stale_after": STALE_AFTER,
        "dead_after": STALE_AFTER + DAY,
        "etag": '"v1"',
        "last_modified": None,
        **changed,
    }
    kept = {name: value for name, value in kept.items() if value is not ...}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return json.dumps({"format": 1, "snapshot": kept, "sha256": digest}).encode()


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


class TestWriting:
    def test_what_was_stored_is_loaded(self, written: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert SNAPSHOT == SnapshotFile(written).load(URL, NOW + 60)
        assert [] == caplog.records

    @pytest.mark.parametrize("validators", [Validators(), Validators('W/"v1"'), Validators("")])
    def test_validators_come_back_as_they_were(self, path: Path, validators: Validators) -> None:
        kept = Snapshot(URL, b"\x00\xff", NOW, Freshness(60.0, 60.0), validators)
        SnapshotFile(path).store(kept)

        assert kept == SnapshotFile(path).load(URL, NOW)

    def test_a_later_snapshot_replaces_the_earlier_one(self, written: Path) -> None:
        later = Snapshot(URL, jwks(OTHER), NOW + 10, Freshness(60.0, 120.0), Validators())
        SnapshotFile(written).store(later)

        assert later == SnapshotFile(written).load(URL, NOW + 20)
        assert [written] == list(written.parent.iterdir())

    def test_an_endless_bound_is_kept_as_a_very_long_one(self, path: Path) -> None:
        """JSON has no infinity, and ``max_stale=inf`` is a setting."""
        SnapshotFile(path).store(Snapshot(URL, b"{}", NOW, Freshness(60.0, float("inf")), Validators()))
        kept = SnapshotFile(path).load(URL, NOW + 1_000 * 365 * DAY)

        assert kept is not None
        assert 10_000 * 365 * DAY < kept.freshness.dead_after

    @needs_posix
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
    def test_only_its_owner_may_read_or_write_it(self, path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            SnapshotFile(path).store(SNAPSHOT)
        finally:
            os.umask(before)

        assert 0o600 == stat.S_IMODE(path.stat().st_mode)

    @pytest.mark.parametrize("step", ["replace", "fsync"])
    def test_a_write_that_is_cut_short_leaves_the_earlier_file_and_nothing_else(
        self, step: str, written: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = written.read_bytes()

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, step, fail)
        SnapshotFile(written).store(Snapshot(URL, jwks(OTHER), NOW, Freshness(60.0, 60.0), Validators()))

        assert before == written.read_bytes()
        assert [written] == list(written.parent.iterdir())
        (record,) = caplog.records
        assert logging.WARNING == record.levelno
        assert f"the key snapshot {written} was not written: " in record.getMessage()

    def test_an_interrupt_while_writing_passes_and_leaves_no_file_behind(
        self, written: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            SnapshotFile(written).store(SNAPSHOT)

        assert [written] == list(written.parent.iterdir())

    @pytest.mark.parametrize("name", ["missing/keys.json", "folder", "file/keys.json"])
    def test_a_place_that_cannot_be_written_to_is_a_warning(
        self, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        before = sorted(tmp_path.rglob("*"))
        SnapshotFile(tmp_path / name).store(SNAPSHOT)

        assert [logging.WARNING] == [record.levelno for record in caplog.records]
        assert before == sorted(tmp_path.rglob("*"))

    @needs_posix
    def test_a_link_is_replaced_and_what_it_points_to_is_not_touched(
        self, path: Path, tmp_path: Path
    ) -> None:
        target = put(tmp_path / "target", b"precious")
        path.symlink_to(target)
        SnapshotFile(path).store(SNAPSHOT)

        assert b"precious" == target.read_bytes()
        assert SNAPSHOT == SnapshotFile(path).load(URL, NOW)

    @pytest.mark.parametrize("name", ["", ".", "/", "keys\0.json"], ids=repr)
    def test_a_name_that_no_file_can_have_is_refused_at_once(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match="must be the path of a file"):
            SnapshotFile(name)

    def test_it_shows_where_it_is(self, path: Path) -> None:
        assert f"SnapshotFile({str(path)!r})" == repr(SnapshotFile(path))


class TestReading:
    def test_a_missing_file_is_no_cause_for_a_warning(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert SnapshotFile(path).load(URL, NOW) is None
        assert SnapshotFile(path / "deeper").load(URL, NOW) is None
        assert [] == caplog.records

    @needs_posix
    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o660], ids=oct)
    def test_a_file_that_others_may_write_is_refused(
        self, mode: int, written: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        written.chmod(mode)

        assert "others may write to it: its mode must be 0600" == refusal(written, caplog)

    @needs_posix
    @pytest.mark.parametrize("mode", [0o644, 0o400], ids=oct)
    def test_a_file_that_others_may_only_read_is_used(self, mode: int, written: Path) -> None:
        written.chmod(mode)

        assert SNAPSHOT == SnapshotFile(written).load(URL, NOW)

    @needs_posix
    def test_a_file_of_another_user_is_refused(
        self, written: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)

        assert "it belongs to another user" == refusal(written, caplog)

    @needs_posix
    def test_a_link_is_not_followed(
        self, written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        link = tmp_path / "link"
        link.symlink_to(written)

        assert "symbolic link" in refusal(link, caplog)

    @needs_posix
    def test_a_pipe_is_refused_without_waiting_for_who_may_write_to_it(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        os.mkfifo(path, 0o600)

        assert "it is a named pipe, and must be a regular file" == refusal(path, caplog)

    @needs_posix
    def test_a_folder_is_refused_and_not_left_open(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path.mkdir()
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)

        assert "it is a directory, and must be a regular file" == refusal(path, caplog)
        again = os.open(os.devnull, os.O_RDONLY)
        os.close(again)
        assert free == again

    def test_a_snapshot_of_another_endpoint_is_refused(
        self, written: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert "it is of another key endpoint" == refusal(written, caplog, url=URL + "/")

    def test_a_clock_that_was_a_little_ahead_is_forgiven(self, written: Path) -> None:
        assert SNAPSHOT == SnapshotFile(written).load(URL, NOW - 300)

    def test_a_snapshot_from_the_future_is_refused(
        self, written: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert "it is from the future: compare the clocks" == refusal(written, caplog, wall=NOW - 301)

    def test_a_snapshot_is_used_until_it_is_dead(self, written: Path) -> None:
        assert SNAPSHOT == SnapshotFile(written).load(URL, NOW + STALE_AFTER + DAY - 1)

    def test_a_dead_snapshot_is_refused(self, written: Path, caplog: pytest.LogCaptureFixture) -> None:
        expected = "it is 90000 s old, too old to be used"

        assert expected == refusal(written, caplog, wall=NOW + STALE_AFTER + DAY)

    def test_a_file_that_is_cut_off_anywhere_is_refused(
        self, written: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        whole = written.read_bytes()
        for length in range(0, len(whole), 7):
            put(written, whole[:length])
            assert "not UTF-8 JSON text" == refusal(written, caplog)

    def test_a_file_with_a_flipped_bit_anywhere_is_refused(
        self, written: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """But for white space, which says nothing."""
        whole = written.read_bytes()
        for place in range(0, len(whole), 5):
            if whole[place : place + 1].isspace():
                continue
            put(written, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert refusal(written, caplog)

    def test_a_changed_body_does_not_fit_the_digest(
        self, written: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        document = json.loads(written.read_bytes())
        document["snapshot"]["body"] = base64.b64encode(jwks(OTHER)).decode()
        put(written, json.dumps(document).encode())

        assert "its digest does not fit: it is damaged" == refusal(written, caplog)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "not UTF-8 JSON text"),
            (b"keys", "not UTF-8 JSON text"),
            (b"\xff\xfe{\x00}\x00", "not UTF-8 JSON text"),
            (b"[]", "not a JSON object"),
            (b'{"format": 1, "format": 1}', "a member name occurs twice"),
            (b"{}", "it has another format"),
            (b'{"format": 1}', "it has another format"),
            (b'{"format": 1, "snapshot": []}', "it has another format"),
            (b'{"format": 1, "snapshot": {"url": {}}}', "it has another format"),
            (b'{"format": 1, "snapshot": {}}', "its digest does not fit: it is damaged"),
            (b'{"format": 1, "snapshot": {}, "sha256": null}', "its digest does not fit: it is damaged"),
            (sealed().replace(b'"format": 1', b'"format": 2'), "it has another format"),
            (sealed().replace(b'"format": 1', b'"format": "1"'), "it has another format"),
            (jwks(KEY), "it has another format"),
            (b" " * (512 * 1024 + 1), "it has 524,289 bytes, and may have 524,288 bytes at most"),
        ],
        ids=itertools.count(),  # the content has the numbers of a key, which are new for each run
    )
    def test_what_is_no_snapshot_is_refused(
        self, content: bytes, why: str, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert why == refusal(put(path, content), caplog)

    @pytest.mark.parametrize("name", ["confirmed_at", "stale_after", "dead_after"])
    @pytest.mark.parametrize(
        "value",
        [..., None, "60", "nan", True, 10**400, -(10**400), 1e300],
        ids=["missing", "null", "text", "nan", "true", "huge", "minus-huge", "float"],
    )
    def test_what_is_no_number_of_seconds_is_refused(
        self, name: str, value: object, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        expected = f"its {name!r} is not a number of seconds"

        assert expected == refusal(put(path, sealed(**{name: value})), caplog)

    @pytest.mark.parametrize(
        "bounds",
        [
            {"stale_after": -1},
            {"stale_after": STALE_AFTER, "dead_after": STALE_AFTER - 1},
            {"stale_after": LONGEST_FRESH + 1, "dead_after": 10 * DAY},
        ],
        ids=["negative", "dead_after-before-stale_after", "fresh-for-over-a-day"],
    )
    def test_bounds_that_no_answer_could_have_set_are_refused(
        self, bounds: dict[str, float], path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert "its bounds are out of range" == refusal(put(path, sealed(**bounds)), caplog)

    @pytest.mark.parametrize("name", ["etag", "last_modified"])
    @pytest.mark.parametrize("value", [1, True, '"v1"\r\nx-other: 1', '"é"', "\0"], ids=ascii)
    def test_what_no_request_header_can_carry_is_refused(
        self, name: str, value: object, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        expected = f"its {name!r} is not the value of a header"

        assert expected == refusal(put(path, sealed(**{name: value})), caplog)

    @pytest.mark.parametrize("value", [..., None, 1, "é", "a", "a-b_", "AAAA\n", "===="], ids=ascii)
    def test_a_body_that_is_not_in_base64_is_refused(
        self, value: object, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert "its 'body' is not in base64" == refusal(put(path, sealed(body=value)), caplog)

    @pytest.mark.parametrize("value", [..., None, 1, ["https://keys.example/certs"]], ids=str)
    def test_an_address_of_another_type_is_refused(
        self, value: object, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert refusal(put(path, sealed(url=value)), caplog) in (
            "it is of another key endpoint",
            "it has another format",
        )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
members = ["url", "body", "confirmed_at", "stale_after", "dead_after", "etag", "last_modified"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all the examples of a property."""
    return put(tmp_path_factory.mktemp("hostile") / "keys.json", b"")


class TestHostileFiles:
    @settings(deadline=None, max_examples=150)
    @given(content=st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
    def test_nothing_that_a_file_holds_raises(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)

        assert SnapshotFile(file).load(URL, NOW) is None

    @settings(deadline=None, max_examples=300)
    @given(changed=st.dictionaries(st.sampled_from(members), anything, min_size=1, max_size=3))
    def test_a_snapshot_with_any_other_members_is_sound_or_refused(
        self, file: Path, changed: dict[str, object]
    ) -> None:
        file.write_bytes(sealed(**changed))
        kept = SnapshotFile(file).load(URL, NOW)

        assert kept is None or (
            0 <= kept.freshness.stale_after <= min(kept.freshness.dead_after, LONGEST_FRESH)
            and NOW - kept.freshness.dead_after < kept.confirmed_at_wall <= NOW + 300
            and all(value.isprintable() for value in kept.validators.headers().values())
        )


class Process:
    """Makes caches over one file, each as a process that starts anew: with a monotonic clock of its own."""

    def __init__(self, endpoint: SimulatedEndpoint, path: Path) -> None:
        self.endpoint = endpoint
        self.path = path

    def start(self, **settings: Any) -> KeyCache:
        self.endpoint.monotonic = ManualClock(17.0)
        return self.endpoint.cache(snapshot=self.path, **settings)

    def restart(self, after: float, **settings: Any) -> KeyCache:
        """Start again so many seconds later; fetches count from there."""
        join_fetches()
        self.endpoint.pass_time(after)
        self.endpoint.requests.clear()
        return self.start(**settings)

    def kept(self) -> Snapshot | None:
        return SnapshotFile(self.path).load(self.endpoint.url, self.endpoint.wall.now)


@pytest.fixture
def process(endpoint: SimulatedEndpoint, path: Path) -> Process:
    return Process(endpoint, path)


class TestStarting:
    def test_a_good_answer_is_kept(self, process: Process) -> None:
        process.start().warm()
        join_fetches()
        kept = process.kept()

        assert kept is not None
        assert (jwks(KEY), NOW, Freshness(STALE_AFTER, STALE_AFTER + DAY)) == (
            kept.body,
            kept.confirmed_at_wall,
            kept.freshness,
        )
        assert kept.validators.etag

    def test_a_confirmation_is_kept_with_its_time(self, process: Process) -> None:
        """A 304 brings no body: the body it confirms is kept, and its time."""
        cache = process.start()
        cache.warm()
        process.endpoint.pass_time(1_000)
        cache.refresh()
        join_fetches()
        kept = process.kept()

        assert {"changed": 1, "unchanged": 0, "not_modified": 1, "failed": 0} == cache.health()["fetches"]
        assert kept is not None
        assert (jwks(KEY), NOW + 1_000) == (kept.body, kept.confirmed_at_wall)

    def test_a_failed_fetch_leaves_the_file_as_it_is(self, process: Process) -> None:
        cache = process.start()
        cache.warm()
        join_fetches()
        before = process.path.read_bytes()
        process.endpoint.fail()
        with pytest.raises(KeysUnavailableError):
            cache.refresh()
        join_fetches()

        assert before == process.path.read_bytes()

    def test_a_set_that_was_refused_is_not_kept(self, process: Process) -> None:
        process.endpoint.private()
        with pytest.raises(KeysUnavailableError):
            process.start().warm()
        join_fetches()

        assert not process.path.exists()

    def test_a_fetch_that_is_slow_to_report_does_not_overwrite_what_a_later_one_has_kept(
        self, process: Process
    ) -> None:
        """Validators of one answer over the body of another would have a withdrawn key confirmed."""
        reported: list[FetchFinished] = []

        def listener(event: KeyEvent) -> None:
            if isinstance(event, FetchFinished):
                reported.append(event)
                if len(reported) == 1:
                    process.endpoint.rotate(OTHER)
                    process.endpoint.pass_time(60)
                    background(caches[0].refresh).result(PATIENCE)

        caches = [process.start(listener=listener)]
        caches[0].warm()
        join_fetches()
        kept = process.kept()

        assert [(KEY.kid,), (OTHER.kid,)] == [event.kids for event in reported]
        assert kept is not None
        assert (jwks(OTHER), NOW + 60) == (kept.body, kept.confirmed_at_wall)
        confirmed = process.restart(STALE_AFTER + 1)
        confirmed.get(OTHER.kid)
        join_fetches()
        assert kept.validators.etag == process.endpoint.requests[0].headers["if-none-match"]
        assert {"changed": 0, "unchanged": 0, "not_modified": 1, "failed": 0} == confirmed.health()["fetches"]

    @pytest.mark.parametrize(
        ("after", "state"),
        [
            (0.0, KeyState.FRESH),
            (3_000.0, KeyState.FRESH),
            (STALE_AFTER - 1, KeyState.AGEING),
            (STALE_AFTER, KeyState.STALE),
            (STALE_AFTER + DAY - 1, KeyState.STALE),
            (STALE_AFTER + DAY, KeyState.EMPTY),
        ],
    )
    def test_the_next_process_starts_at_the_age_that_the_wall_clock_shows(
        self, process: Process, after: float, state: KeyState
    ) -> None:
        process.start().warm()
        cache = process.restart(after)

        assert state is cache.state
        assert (None if state is KeyState.EMPTY else after) == cache.age
        assert 0 == process.endpoint.fetches

    @each_api
    def test_the_next_process_needs_no_network_for_its_first_answer(self, process: Process, api: Api) -> None:
        process.start().warm()
        cache = process.restart(600)
        process.endpoint.fail()

        api.warm(cache)
        assert KEY.kid == api.get(cache, KEY.kid).kid
        assert cache.ready
        assert 0 == process.endpoint.fetches

    @each_api
    @pytest.mark.parametrize("after", [STALE_AFTER - 1, STALE_AFTER + 1], ids=["ageing", "stale"])
    def test_keys_that_are_not_fresh_serve_at_once_and_are_asked_for_behind_the_request(
        self, process: Process, api: Api, after: float
    ) -> None:
        process.start().warm()
        cache = process.restart(after)
        gate = process.endpoint.hang()

        assert KEY.kid == api.get(cache, KEY.kid).kid
        assert cache.refreshing
        gate.set()
        join_fetches()
        assert (KeyState.FRESH, 1) == (cache.state, process.endpoint.fetches)

    def test_the_first_question_of_the_next_process_is_conditional(self, process: Process) -> None:
        process.start().warm()
        cache = process.restart(STALE_AFTER + 1)
        etag = process.kept()
        cache.get(KEY.kid)
        join_fetches()

        assert etag is not None
        assert etag.validators.etag == process.endpoint.requests[0].headers["if-none-match"]
        assert {"changed": 0, "unchanged": 0, "not_modified": 1, "failed": 0} == cache.health()["fetches"]
        assert (1, KeyState.FRESH) == (cache.generation, cache.state)

    def test_a_key_that_is_gone_meanwhile_goes_with_the_first_answer(self, process: Process) -> None:
        process.start().warm()
        process.endpoint.rotate(OTHER)
        cache = process.restart(STALE_AFTER + 1)

        assert KEY.kid == cache.get(KEY.kid).kid
        join_fetches()
        with pytest.raises(SignatureError) as caught:
            cache.get(KEY.kid)
        assert Reason.UNKNOWN_KEY is caught.value.reason
        assert OTHER.kid == cache.get(OTHER.kid).kid

    def test_the_bound_of_the_process_that_reads_counts(self, process: Process) -> None:
        process.start().warm()

        assert KeyState.STALE is process.restart(STALE_AFTER + 99, max_stale=100).state
        assert KeyState.DEAD is process.restart(2, max_stale=100).state

    def test_without_stale_keys_a_snapshot_serves_while_it_is_fresh(self, process: Process) -> None:
        process.start(max_stale=0).warm()

        assert KeyState.AGEING is process.restart(STALE_AFTER - 1, max_stale=0).state
        assert KeyState.EMPTY is process.restart(1, max_stale=0).state

    def test_a_longer_bound_does_not_lengthen_what_the_answer_allowed(self, process: Process) -> None:
        process.endpoint.cache_control = "max-age=3600, stale-if-error=100"
        process.start().warm()

        assert KeyState.STALE is process.restart(STALE_AFTER + 99).state
        assert KeyState.EMPTY is process.restart(2).state

    def test_a_bound_without_an_end_survives_the_file(self, process: Process) -> None:
        process.start(max_stale=float("inf")).warm()

        assert KeyState.STALE is process.restart(100 * 365 * DAY, max_stale=float("inf")).state

    def test_a_clock_that_was_ahead_makes_nothing_younger_than_new(self, process: Process) -> None:
        process.start().warm()
        cache = process.restart(-200)

        assert (KeyState.FRESH, 0.0) == (cache.state, cache.age)

    @pytest.mark.parametrize(
        "body",
        [jwks(KEY, OTHER.jwk(d=b64(b"1" * 256))), b"<html>", b'{"keys": []}'],
        ids=["private", "html", "empty"],
    )
    def test_a_body_that_the_network_could_not_bring_either_is_as_good_as_none(
        self, process: Process, caplog: pytest.LogCaptureFixture, body: bytes
    ) -> None:
        put(process.path, sealed(url=process.endpoint.url, body=base64.b64encode(body).decode()))
        cache = process.start()

        assert (KeyState.EMPTY, None, 0) == (cache.state, cache.age, cache.generation)
        (record,) = caplog.records
        assert logging.WARNING == record.levelno
        assert f"the key snapshot of {cache.url} is not used: content: " in record.getMessage()

    @pytest.mark.parametrize("length", [0, 100, -10], ids=["nothing", "its-beginning", "most-of-it"])
    def test_a_damaged_file_is_as_good_as_none_and_is_mended_by_the_first_good_answer(
        self, process: Process, caplog: pytest.LogCaptureFixture, length: int
    ) -> None:
        process.start().warm()
        join_fetches()
        put(process.path, process.path.read_bytes()[:length])
        caplog.clear()
        cache = process.restart(1)

        assert (KeyState.EMPTY, None, 0) == (cache.state, cache.age, cache.generation)
        assert [logging.WARNING] == [record.levelno for record in caplog.records]
        assert KEY.kid == cache.get(KEY.kid).kid
        join_fetches()
        kept = process.kept()
        assert kept is not None
        assert jwks(KEY) == kept.body

    def test_a_snapshot_for_other_algorithms_is_not_used(self, process: Process) -> None:
        process.start().warm()

        assert KeyState.EMPTY is process.restart(1, algorithms=("ES256",)).state

    def test_a_folder_that_is_not_there_costs_a_warning_and_no_request(
        self, endpoint: SimulatedEndpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = endpoint.cache(snapshot=tmp_path / "missing" / "keys.json")

        assert KEY.kid == cache.get(KEY.kid).kid
        join_fetches()
        assert [logging.WARNING] == [record.levelno for record in caplog.records]

    def test_two_endpoints_do_not_read_each_others_file(
        self, process: Process, caplog: pytest.LogCaptureFixture
    ) -> None:
        process.start().warm()
        join_fetches()
        with SimulatedEndpoint(OTHER) as other:
            cache = other.cache(snapshot=process.path)
        assert KeyState.EMPTY is cache.state
        assert "it is of another key endpoint" in caplog.text

    def test_the_file_holds_what_is_published_and_nothing_of_who_called(self, process: Process) -> None:
        verifier = process.endpoint.verifier(process.start())
        one = process.endpoint.token(KEY)
        assert MEMBER == verifier.verify(one).member
        join_fetches()
        text = process.path.read_text("ascii")
        kept = process.kept()

        assert kept is not None
        assert jwks(KEY) == kept.body
        assert [] == [part for part in one.split(".") if part[:17] in text]
        assert CALLER not in text


class TestSeeding:
    @each_api
    def test_seeded_keys_are_used_at_once_and_count_as_stale(
        self, endpoint: SimulatedEndpoint, api: Api
    ) -> None:
        gate = endpoint.hang()
        cache = endpoint.cache()
        cache.seed(jwks(KEY))

        assert (KeyState.STALE, True, 0.0, 0) == (cache.state, cache.ready, cache.age, endpoint.fetches)
        assert KEY.kid == api.get(cache, KEY.kid).kid
        assert cache.refreshing
        gate.set()
        join_fetches()
        assert KeyState.FRESH is cache.state

    def test_seeded_keys_are_replaced_by_the_first_good_answer(self, endpoint: SimulatedEndpoint) -> None:
        cache = endpoint.cache()
        cache.seed(jwks(OTHER))
        assert OTHER.kid == cache.get(OTHER.kid).kid
        join_fetches()

        assert (KeyState.FRESH, [KEY.kid]) == (cache.state, cache.health()["kids"])
        assert "if-none-match" not in endpoint.requests[0].headers

    def test_seeded_keys_serve_for_max_stale_while_the_endpoint_is_away(
        self, endpoint: SimulatedEndpoint
    ) -> None:
        endpoint.fail()
        cache = endpoint.cache(max_stale=1_000)
        cache.seed(jwks(KEY))
        endpoint.pass_time(999)
        assert KEY.kid == cache.get(KEY.kid).kid
        join_fetches()
        endpoint.pass_time(1)

        assert KeyState.DEAD is cache.state
        with pytest.raises(KeysUnavailableError):
            cache.get(KEY.kid)

    def test_a_seed_does_nothing_where_keys_are_held(self, endpoint: SimulatedEndpoint) -> None:
        cache = endpoint.cache()
        cache.warm()
        cache.seed(jwks(OTHER))

        assert (KeyState.FRESH, [KEY.kid], 1) == (cache.state, cache.health()["kids"], cache.generation)

    def test_a_seed_does_nothing_where_a_snapshot_was_read(self, process: Process) -> None:
        process.start().warm()
        cache = process.restart(STALE_AFTER + 100)
        cache.seed(jwks(OTHER))

        assert [KEY.kid] == cache.health()["kids"]

    def test_a_seed_needs_stale_keys_to_be_allowed(self, endpoint: SimulatedEndpoint) -> None:
        cache = endpoint.cache(max_stale=0)
        with pytest.raises(ConfigurationError, match="max_stale=0 forbids stale keys"):
            cache.seed(jwks(KEY))

        assert KeyState.EMPTY is cache.state

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b"[]", b"<html>", jwks(), jwks(KEY.jwk(d=b64(b"1" * 256)))],
        ids=["nothing", "object", "array", "page", "no-key", "private"],
    )
    def test_a_seed_that_is_no_key_set_is_a_mistake_in_the_configuration(
        self, endpoint: SimulatedEndpoint, body: bytes
    ) -> None:
        cache = endpoint.cache()
        with pytest.raises(ConfigurationError, match="the seed is not a usable key set: "):
            cache.seed(body)

        assert (KeyState.EMPTY, []) == (cache.state, endpoint.events_of(SetRefused))

    def test_a_seed_is_not_written_to_the_snapshot(self, process: Process) -> None:
        process.start().seed(jwks(KEY))

        assert not process.path.exists()


def application(endpoint: SimulatedEndpoint, cache: KeyCache) -> Starlette:
    """Warm the keys in the lifespan, as a service does, and answer a probe whether it is ready."""
    door = Door(endpoint.verifier(cache), InvokerPolicy.from_members([MEMBER]))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Without keys the service starts all the same: the probe answers that it is not ready.
        with contextlib.suppress(KeysUnavailableError):
            await cache.awarm()
        yield

    async def ready(_: Request) -> PlainTextResponse:
        return PlainTextResponse(cache.state, 200 if cache.ready else 503)

    async def inside(_: Request) -> PlainTextResponse:
        return PlainTextResponse("in")

    guarded = InvokerMiddleware(Starlette(routes=[Route("/", inside)]), door)
    return Starlette(routes=[Route("/ready", ready), Mount("/", guarded)], lifespan=lifespan)


def answer(url: str, bearer: str = "") -> tuple[int, str]:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    found = httpx.get(url, headers=headers, trust_env=False, timeout=PATIENCE)
    return found.status_code, found.text


class TestLifespan:
    def test_a_service_that_warms_its_keys_is_ready_before_the_first_request(
        self, endpoint: SimulatedEndpoint
    ) -> None:
        with asgi_server(application(endpoint, endpoint.cache())) as url:
            assert 1 == endpoint.fetches
            assert (200, "fresh") == answer(f"{url}/ready")
            assert (200, "in") == answer(f"{url}/", endpoint.token(KEY))
        assert 1 == endpoint.fetches

    def test_a_service_whose_key_endpoint_is_away_starts_and_says_that_it_is_not_ready(
        self, endpoint: SimulatedEndpoint
    ) -> None:
        endpoint.fail()
        with asgi_server(application(endpoint, endpoint.cache())) as url:
            assert (503, "empty") == answer(f"{url}/ready")
            assert 503 == answer(f"{url}/", endpoint.token(KEY))[0]

    def test_a_service_with_a_snapshot_is_ready_while_the_key_endpoint_is_away(
        self, process: Process
    ) -> None:
        process.start().warm()
        cache = process.restart(STALE_AFTER + 1)
        process.endpoint.fail()
        with asgi_server(application(process.endpoint, cache)) as url:
            assert (200, "stale") == answer(f"{url}/ready")
            assert (200, "in") == answer(f"{url}/", process.endpoint.token(KEY))
