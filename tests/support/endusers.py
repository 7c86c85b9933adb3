"""A door that looks for the end user behind a service, and the headers of a service with one and without."""

from __future__ import annotations

from doorward import Door, InvokerPolicy
from support.tokens import MEMBER
from support.world import World

__all__ = ["ANN", "door_with_end_users", "with_and_without_user"]

ANN = "user:ann@example.com"
_WEB = "https://web"


def door_with_end_users(world: World) -> Door:
    """Make a door whose one caller may call on behalf of users."""
    policy = InvokerPolicy.from_members([MEMBER])
    return Door(world.verifier(), policy, end_user=world.verifier(_WEB), end_user_callers=[MEMBER])


def with_and_without_user(world: World) -> tuple[dict[str, str], dict[str, str]]:
    """Make the headers of a request on behalf of Ann, and of one of the service itself."""
    service = {"x-serverless-authorization": f"Bearer {world.token()}"}
    user = world.token(aud=_WEB, email="ann@example.com", sub="7")
    return service | {"authorization": f"Bearer {user}"}, service
