"""A table of decisions: one row for each known fact about statuses and audiences, with where it is from.

[D] documented by Google, [C] reported by others, [I] concluded, [NF] not known: doorward's own default. What
is known of members, roles and conditions stands in ``tests/verifier/policy/test_decisions.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from doorward import Admission, CloudRunAudience, Door, InvokerPolicy, Verifier
from support.tokens import MEMBER, SUBJECT
from support.world import World

HASH = "https://orders-abcdefghij-ew.a.run.app"
NUMBERED = "https://orders-1234567890.europe-west1.run.app"
FUNCTION = "https://europe-west1-shop.cloudfunctions.net/orders"
GCLOUD = "32555940559.apps.googleusercontent.com"
PERSON = {"email": "jo@example.com", "azp": GCLOUD, "hd": "example.com"}
ANYBODY = InvokerPolicy.all_authenticated_users()


def service(**settings: Any) -> CloudRunAudience:
    return CloudRunAudience([HASH, NUMBERED], **settings)


A_FUNCTION = CloudRunAudience.function(region="europe-west1", project="shop", name="orders")


class Row(NamedTuple):
    """One fact about an audience: whether a token made for it is accepted."""

    source: str
    aud: str
    accepted: bool
    audience: Any
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    claims: dict[str, Any] = {}  # noqa: RUF012 - never changed


YES, NO = True, False
AUDIENCES = [
    Row("[D] the URL of the receiving service: the hash form", HASH, YES, service()),
    Row("[D] the URL of the receiving service: the deterministic form", NUMBERED, YES, service()),
    Row(
        "[C] any of the service's run.app URLs, and no other",
        "https://orders-zzzzzzzzzz-ew.a.run.app",
        NO,
        service(),
    ),
    Row("[D] custom domains are not supported", "https://orders.example.com", NO, service()),
    Row("[I] a slash at the end, as in Google's sample", f"{NUMBERED}/", YES, service()),
    Row(
        "[C] laravel-google-cloud-tasks-queue #113: a path is let through",
        f"{NUMBERED}/tasks/1",
        YES,
        service(),
    ),
    Row("[C] the same, as a setting", f"{NUMBERED}/tasks/1", NO, service(allow_path=False)),
    Row("[C] python-tasks #137: a query is not", f"{NUMBERED}/tasks?x=1", NO, service()),
    Row("[I] a fragment is not", f"{NUMBERED}/#x", NO, service()),
    Row("[NF] the URL of a tag: off", NUMBERED.replace("//", "//blue---"), NO, service()),
    Row(
        "[NF] the URL of a tag: a setting", NUMBERED.replace("//", "//blue---"), YES, service(allow_tags=True)
    ),
    Row("[D] a custom audience, exactly", "orders", YES, service(custom_audiences=["orders"])),
    Row("[D] a custom audience, and nothing like it", "orders/", NO, service(custom_audiences=["orders"])),
    Row("[D] the generated URL stays accepted beside it", HASH, YES, service(custom_audiences=["orders"])),
    Row("[C] nodejs #1208: the whole URL of a function", FUNCTION, YES, A_FUNCTION),
    Row("[C] nodejs #1208: its host alone is not", FUNCTION.rpartition("/")[0], NO, A_FUNCTION),
    Row("[C] its URL with more path is not", f"{FUNCTION}/projects/p", NO, A_FUNCTION),
    Row("[D] gcloud's user tokens, for development: off", GCLOUD, NO, NUMBERED, {}, PERSON),
    Row(
        "[D] gcloud's user tokens: a setting",
        GCLOUD,
        YES,
        NUMBERED,
        {"accept_gcloud_tokens": True},
        PERSON,
    ),
    Row(
        "[C] another client id is not let through",
        GCLOUD.replace("3", "4"),
        NO,
        NUMBERED,
        {"accept_gcloud_tokens": True},
        PERSON,
    ),
]


@pytest.mark.parametrize("row", AUDIENCES, ids=[row.source for row in AUDIENCES])
def test_an_audience_is_accepted_as_the_fact_says(world: World, row: Row) -> None:
    door = Door(world.verifier(row.audience, **row.settings), ANYBODY)

    answer = door.admit([(b"authorization", b"Bearer " + world.token(aud=row.aud, **row.claims).encode())])

    assert row.accepted == isinstance(answer, Admission)
    assert row.accepted or 401 == answer.status  # type: ignore[union-attr]


NAMED = InvokerPolicy.from_members([MEMBER])
OTHER = InvokerPolicy.from_members(["user:nobody@example.com"])
STATUSES = [
    ("[D] no credential", NAMED, None, 403),
    ("[D] not a JWT", NAMED, "not-a-token", 401),
    ("[D] an access token instead of an ID token", NAMED, "ya29.something", 401),
    ("[D] more than one JWT in the header", NAMED, "{token} {token}", 401),
    ("[D] a signature that does not hold", NAMED, "{token}AAAA", 401),
    ("[D] another audience", NAMED, "{other}", 401),
    ("[C] expired", NAMED, "{expired}", 401),
    ("[D] a good token without the permission", OTHER, "{token}", 403),
    ("[D] a good token with the permission", NAMED, "{token}", 200),
    ("[D] allUsers, without a credential", InvokerPolicy.all_users(), None, 200),
    ("[D] the invoker check switched off, without a credential", InvokerPolicy.check_disabled(), None, 200),
    ("[D] allAuthenticatedUsers, without a credential", ANYBODY, None, 403),
    ("[I] a token without an address, for allAuthenticatedUsers", ANYBODY, "{nameless}", 200),
    ("[I] a token without an address, for a member by address", NAMED, "{nameless}", 403),
    (
        "[I] a token without an address, by its unique id",
        InvokerPolicy([("roles/run.invoker", [MEMBER])], unique_ids={MEMBER: SUBJECT}),
        "{nameless}",
        200,
    ),
]


@pytest.mark.parametrize(
    ("policy", "sent", "status"), [row[1:] for row in STATUSES], ids=[row[0] for row in STATUSES]
)
def test_a_request_is_answered_as_the_fact_says(
    world: World, policy: InvokerPolicy, sent: str | None, status: int
) -> None:
    made = {
        "token": world.token(),
        "other": world.token(aud="https://other.example"),
        "expired": world.token(iat=int(world.clock.now) - 9_000, exp=int(world.clock.now) - 5_400),
        "nameless": world.token(email=None, email_verified=None),
    }
    headers = [] if sent is None else [(b"authorization", b"Bearer " + sent.format(**made).encode())]

    answer = Door(world.verifier(), policy).admit(headers)

    assert status == (200 if isinstance(answer, Admission) else answer.status)


def test_two_authorization_headers_are_refused(world: World) -> None:
    """[D] "Multiple authorization headers are present in the request"."""
    one = (b"authorization", b"Bearer " + world.token().encode())

    answer = Door(world.verifier(), NAMED).admit([one, one])

    assert 401 == answer.status  # type: ignore[union-attr]


def test_only_x_serverless_authorization_is_checked_where_both_are_there(world: World) -> None:
    """[D] and [C] cloud-run-proxy PR #25."""
    good, bad = b"Bearer " + world.token().encode(), b"Basic x"
    door = Door(world.verifier(), NAMED)

    assert isinstance(door.admit([(b"authorization", bad), (b"x-serverless-authorization", good)]), Admission)
    assert 401 == door.admit([(b"authorization", good), (b"x-serverless-authorization", bad)]).status  # type: ignore[union-attr]


def test_an_audience_must_be_given() -> None:
    """[D] "aud" must be the URL of the receiving service or a custom audience: there is no default."""
    with pytest.raises(ValueError, match="audience"):
        Verifier()  # type: ignore[call-overload]
