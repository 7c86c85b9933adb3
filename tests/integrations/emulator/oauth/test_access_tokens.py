"""Access tokens: what they stand for, and when they end."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Account
from doorward_integrations.emulator.oauth.access_tokens import ACCESS_TOKEN_PREFIX, AccessTokens, Grant
from support.clock import ManualClock

ACCOUNT = Account(DEFAULT_ACCOUNT)


def test_a_token_stands_for_its_account_and_scopes_until_it_expires(clock: ManualClock) -> None:
    tokens = AccessTokens(clock=clock)
    token = tokens.issue(ACCOUNT, ["a", "b"], lifetime=600)

    assert Grant(ACCOUNT, ("a", "b"), clock.now, clock.now + 600) == tokens.find(token)
    clock.move(599)
    assert tokens.find(token) is not None
    clock.move(1)
    assert tokens.find(token) is None
    assert "AccessTokens(0 of at most 10000)" == repr(tokens)


def test_two_tokens_differ_and_none_looks_like_one_of_googles(clock: ManualClock) -> None:
    tokens = AccessTokens(clock=clock)
    first, second = (tokens.issue(ACCOUNT, ()) for _ in range(2))

    assert first != second
    assert first.startswith(ACCESS_TOKEN_PREFIX)
    assert "fake" in ACCESS_TOKEN_PREFIX


def test_of_too_many_tokens_the_oldest_stops_working(clock: ManualClock) -> None:
    tokens = AccessTokens(clock=clock, capacity=2)
    issued = [tokens.issue(ACCOUNT, ()) for _ in range(3)]

    assert [False, True, True] == [tokens.find(token) is not None for token in issued]


def test_no_token_is_kept_in_the_clear(clock: ManualClock) -> None:
    tokens = AccessTokens(clock=clock)
    token = tokens.issue(ACCOUNT, ())
    kept = [repr(one) for one in gc.get_referents(tokens.__dict__, tokens._grants)]

    assert not any(token[len(ACCESS_TOKEN_PREFIX) :] in text for text in kept)


@given(st.text())
def test_any_other_text_stands_for_nothing(text: str) -> None:
    assert AccessTokens().find(text) is None


@pytest.mark.parametrize("change", [str.upper, lambda token: f"{token} ", lambda token: token[:-1]])
def test_a_changed_token_stands_for_nothing(change, clock: ManualClock) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    tokens = AccessTokens(clock=clock)

    assert tokens.find(change(tokens.issue(ACCOUNT, ()))) is None
