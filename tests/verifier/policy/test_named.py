"""Callers that a setting names as members of IAM."""

from __future__ import annotations

from typing import Any

import pytest

from doorward import GOOGLE, ConfigurationError, PolicyError
from doorward.policy.named import NamedCallers
from doorward.tokens.principal import ANONYMOUS
from support.policies import principal
from support.tokens import CALLER, MEMBER

USER = {"email": "ann@example.com", "hd": "example.com"}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([MEMBER], [True, False, False]),
        (["user:ann@example.com"], [False, True, False]),
        (["domain:example.com", MEMBER], [True, True, False]),
        (["allAuthenticatedUsers"], [True, True, False]),
        (["deleted:" + MEMBER + "?uid=1"], [False, False, False]),
    ],
)
def test_it_matches_as_a_policy_does(members: list[str], expected: list[bool]) -> None:
    named = NamedCallers(members, "members")

    assert expected == [named(one) for one in (principal(), principal(GOOGLE, **USER), ANONYMOUS)]


def test_an_unverified_address_is_none_of_them() -> None:
    assert not NamedCallers([MEMBER], "members")(principal(email_verified=False))


@pytest.mark.parametrize("wrong", [[], ["allUsers"], [MEMBER, "allUsers"], MEMBER, None, 7])
def test_what_names_no_caller_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^callers must"):
        NamedCallers(wrong, "callers")


@pytest.mark.parametrize("wrong", [CALLER, "group:team@example.com", "serviceaccount:" + CALLER])
def test_a_member_that_no_token_can_match_is_refused(wrong: str) -> None:
    with pytest.raises(PolicyError):
        NamedCallers([wrong], "callers")


def test_it_shows_the_members() -> None:
    assert f"members {MEMBER}, user:ann@example.com" == repr(
        NamedCallers([MEMBER, "user:ann@example.com"], "x")
    )
