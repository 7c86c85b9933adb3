"""What a door makes of decisions that are neither a grant nor a plain refusal."""

from __future__ import annotations

from typing import Any

from doorward import GOOGLE, Door, firebase
from doorward.door.admission import Admission
from doorward.door.refusal import Refusal
from doorward.policy.deny.policy import DenyPolicy
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.groups import Unresolved
from support.tokens import CALLER
from support.world import World


def headers(world: World) -> Any:
    return [(b"authorization", b"Bearer " + world.token().encode())]


def test_what_cannot_be_known_now_is_answered_with_503(world: World) -> None:
    policy = InvokerPolicy.from_members(["group:team@example.com"], groups=lambda *_: Unresolved("away"))
    answer = Door(world.verifier(), policy).admit(headers(world))

    assert isinstance(answer, Refusal)
    assert 503 == answer.status
    assert b"retry-after" in dict(answer.headers)


def test_a_denied_caller_is_not_admitted_as_anonymous(world: World) -> None:
    """A public policy grants every caller; only a deny policy can refuse a good token there."""
    robot = f"principal://iam.googleapis.com/projects/-/serviceAccounts/{CALLER}"
    rule = {"deniedPrincipals": [robot], "deniedPermissions": ["run.googleapis.com/routes.invoke"]}
    policy = InvokerPolicy.all_users().with_deny(DenyPolicy.from_dict({"rules": [{"denyRule": rule}]}))
    answer = Door(world.verifier(), policy).admit(headers(world))

    assert isinstance(answer, Refusal)
    assert 403 == answer.status


def test_the_users_of_a_firebase_project_enter_and_no_other_caller(world: World) -> None:
    users, others = firebase("my-project-1a2b3"), firebase("my-project-9z8y7")
    verifier = world.verifier(None, issuers=[users, others])
    door = Door(verifier, InvokerPolicy.users_of(users))

    def answer(project: str) -> Any:
        made = {
            "iss": f"https://securetoken.google.com/{project}",
            "aud": project,
            "auth_time": world.clock.now,
        }
        return door.admit([(b"authorization", b"Bearer " + world.token(**made).encode())])

    for _ in range(2):  # the second time by the cached token
        assert isinstance(answer("my-project-1a2b3"), Admission)
        assert 403 == answer("my-project-9z8y7").status
    assert isinstance(door.admit([]), Refusal)


def test_a_google_account_is_no_user_of_a_firebase_project(world: World) -> None:
    verifier = world.verifier(issuers=[GOOGLE, firebase("my-project-1a2b3")])
    refusal = Door(verifier, InvokerPolicy.users_of(firebase("my-project-1a2b3"))).admit(headers(world))

    assert isinstance(refusal, Refusal)
    assert 403 == refusal.status
