"""Finds the doors that stand in front of an application, and the verifiers behind them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import FunctionType, MethodType
from typing import Final

from doorward import ConfigurationError, Door, Verifier
from doorward.door.base import BaseDoor
from doorward.services.services import Services

__all__ = ["asked_of", "doors_of", "verifiers_of"]

_LEADS_ON: Final = (
    # What holds a door: a middleware, an Invoker, an interceptor, a dependency, a guarded function.
    "door",
    # What an application is wrapped in, or what a client calls.
    *("app", "wsgi_app", "asgi_app", "application", "wsgi_application", "_transport", "handler"),
    # Where Starlette, FastAPI, Litestar, Flask and aiohttp have middleware, routes and dependencies.
    *("user_middleware", "middleware", "middlewares", "middleware_stack", "kwargs", "args", "cls"),
    *(
        "router",
        "routes",
        "original_router",
        "include_context",
        "endpoint",
        "dependant",
        "dependencies",
        "dependency",
        "call",
    ),
    *("extensions", "asgi_handler", "__wrapped__", "__defaults__"),
)
"""The attributes that can lead from an application to its doors."""

_MOST: Final = 20_000
_PLAIN: Final = (str, bytes, int, float, type(None))


def doors_of(target: object) -> list[Door]:
    """Return the doors of an application or of its client, in the order in which they are found.

    Args:
        target: A door, a guarded application of any framework, or a client of one.

    Returns:
        The doors, of each service its own; empty if none is found.
    """
    return [one for one in asked_of(target) if isinstance(one, Door)]


def asked_of(target: object) -> list[BaseDoor]:
    """Return what adapters ask, and what decides behind it: of many services also the one door of all.

    Args:
        target: As for `doors_of`.

    Returns:
        The doors; empty if none is found.
    """
    if type(target).__module__.partition(".")[0] == "django":
        return _door_of_django()
    reached = itertools.islice(_reached(target), _MOST)
    found = list(dict.fromkeys(one for one in reached if isinstance(one, BaseDoor)))
    return found or (_door_of_django() if _is_django(target) else [])


def verifiers_of(target: object) -> tuple[list[BaseDoor], list[Verifier]]:
    """Return the doors and the verifiers of what a test names.

    Args:
        target: A verifier, or as for `doors_of`.

    Returns:
        The doors as of `asked_of`, and the verifiers of callers and of end users.

    Raises:
        ConfigurationError: If it has neither.
    """
    if isinstance(target, Verifier):
        return [], [target]
    asked = asked_of(target)
    doors = [one for one in asked if isinstance(one, Door)]
    if not doors:
        raise ConfigurationError(
            f"no door is found in {type(target).__name__}: give the application that it stands in front of, "
            "a client of that application, or the Door itself"
        )
    every = [one for door in doors for one in (door.verifier, door.end_user_verifier) if one is not None]
    return asked, list(dict.fromkeys(every))


def _reached(start: object) -> Iterator[object]:
    """Go from an application to all that its attributes lead to, the nearest first."""
    seen = set[int]()
    waiting: list[object] = [start]
    for one in waiting:
        if id(one) in seen or isinstance(one, _PLAIN):
            continue
        seen.add(id(one))
        yield one
        waiting.extend(_behind(one) if isinstance(one, BaseDoor) else _beyond(one))


def _behind(door: BaseDoor) -> list[BaseDoor]:
    """Return the doors of the services behind a door."""
    if not isinstance(door, Services):
        return []
    return [one for name in door.names if (one := door.door(name)) is not None]


def _beyond(one: object) -> Iterable[object]:
    if isinstance(one, Sequence | AbstractSet):
        return list(one)
    if isinstance(one, dict):
        return list(one.values())
    if isinstance(one, type) and not isinstance(vars(one).get("door"), Door):
        return ()
    if isinstance(one, FunctionType):
        return [*one.__dict__.values(), one.__defaults__]
    if isinstance(one, MethodType):
        return [one.__self__]
    held = list(one.values()) if isinstance(one, Mapping) else []  # such as an application of aiohttp
    return [*held, *(value for name in _LEADS_ON if (value := _attribute(one, name)) is not None)]


def _attribute(one: object, name: str) -> object:
    try:
        return getattr(one, name, None)
    except Exception:  # noqa: BLE001 - a property of another library may raise anything outside of a request
        return None


def _is_django(target: object) -> bool:
    return any(
        type(one).__module__.partition(".")[0] == "django"
        for one in itertools.islice(_reached(target), _MOST)
    )


def _door_of_django() -> list[BaseDoor]:
    """Return the door of Django's settings, which the middleware of every handler reads."""
    from doorward_integrations.django import configured_door  # noqa: PLC0415 - only where Django is

    try:
        door = configured_door()
    except ConfigurationError:
        return []
    return [door, *_behind(door)]
