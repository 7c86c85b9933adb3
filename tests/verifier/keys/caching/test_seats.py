"""Seats: as many requests wait as there are seats."""

from __future__ import annotations

from doorward.keys.caching.seats import Seats


def test_as_many_seats_are_taken_as_there_are() -> None:
    seats = Seats(2)

    assert ([True, True, False, False], 2) == ([seats.take() for _ in range(4)], seats.taken)


def test_a_seat_that_is_left_is_free_again() -> None:
    seats = Seats(1)

    for _ in range(3):
        assert seats.take()
        seats.leave()
    assert 0 == seats.taken


def test_a_child_starts_with_all_seats_free_and_has_no_more_of_them_later() -> None:
    seats = Seats(1)
    seats.take()
    seats.after_fork()
    seats.leave()

    assert [True, False] == [seats.take(), seats.take()]


def test_the_lock_of_the_parent_is_not_that_of_the_child() -> None:
    seats = Seats(1)
    with seats._lock:
        seats.after_fork()
        assert seats.take()
