"""The place where the kit comes between an adapter and its door."""

from __future__ import annotations

import asyncio

import pytest

from doorward import Admission, Door, Refusal
from doorward.errors import PermissionDeniedError
from doorward_integrations.testing.decisions import made
from doorward_integrations.testing.seam import CALLERS, Caller, watch

METHODS = {"admit", "aadmit", "admit_cached", "refuse"}


def test_a_door_is_as_it_was_made_once_it_is_watched_no_more(door: Door) -> None:
    first, second = watch(door), watch(door)
    assert METHODS <= vars(door).keys()
    first()
    first()
    assert METHODS <= vars(door).keys()
    second()
    assert not METHODS & vars(door).keys()


def test_what_a_watched_door_decides_is_kept_in_every_way_of_asking(door: Door) -> None:
    end = watch(door)
    try:
        door.admit([])
        asyncio.run(door.aadmit([]))
        door.refuse(PermissionDeniedError("no"))
        assert door.admit_cached([], "GET", "/") is None
    finally:
        end()
    door.admit([])

    assert ["no_credential", "no_credential", "permission_denied"] == [str(one.reason) for one in made()]


@pytest.mark.parametrize("is_open", [True, False], ids=["in its block", "after it"])
def test_the_headers_of_a_caller_are_added_in_its_block_alone(door: Door, is_open: bool) -> None:  # noqa: FBT001 - a parameter of the test
    who = Caller(lambda _: ((b"authorization", b"Bearer x"),))
    who.open = is_open
    end, token = watch(door), CALLERS.set((who,))
    try:
        outcome = door.admit([])
    finally:
        CALLERS.reset(token)
        end()

    assert isinstance(outcome, Refusal)
    assert ("malformed" if is_open else "no_credential") == str(outcome.reason)


def test_a_header_that_a_request_has_stays(door: Door) -> None:
    who = Caller(lambda _: ((b"authorization", b"Bearer x"), (b"x-more", b"1")))
    own = (b"authorization", b"Bearer own")

    assert [own, (b"x-more", b"1")] == list(who.add_to(door, [own]))


def test_a_door_that_is_watched_answers_as_it_would(door: Door) -> None:
    plain = door.admit([])
    end = watch(door)
    watched = door.admit([])
    end()

    assert isinstance(plain, Refusal)
    assert isinstance(watched, Refusal)
    assert not isinstance(watched, Admission)
    assert (plain.status, plain.body, plain.headers) == (watched.status, watched.body, watched.headers)
