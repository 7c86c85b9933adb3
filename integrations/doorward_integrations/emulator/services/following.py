"""How doors in other processes follow a policy: each asks for the next one, and so confirms the last.

A door has one request open, which is answered when the policy changes. Its next request names the policy that
it has taken. ``setIamPolicy`` waits for that, for a second at most: once it has returned, every door that
follows decides by the new policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children
from doorward_integrations.emulator.control import check_control
from doorward_integrations.emulator.google_errors import GoogleError, answering_errors
from doorward_integrations.emulator.interface import FOLLOW_PATH
from doorward_integrations.emulator.services.methods import policy_answer
from doorward_integrations.emulator.services.names import service_name
from doorward_integrations.emulator.services.store import PolicyStore

__all__ = ["LONGEST_POLL", "Followers"]

LONGEST_POLL: Final = 20.0
"""Seconds after which a request is answered with 204 if nothing has changed."""

_LONGEST_SETTLE: Final = 1.0
_LONGEST_ID: Final = 64

_Follower = tuple[str, str]  # the service and the follower's own id


class Followers:
    """The doors that follow policies of a store. Safe to use from threads."""

    def __init__(self, store: PolicyStore) -> None:
        """Follow the changes of a store.

        Args:
            store: The policies.
        """
        self._store: Final = store
        self._paused = False
        self._begin()
        renew_in_children(self, Followers._begin)
        store.listen(self.wake)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        # The number of the policy that each has taken; read and changed with the condition held.
        self._taken: dict[_Follower, int] = {}
        self._waiting: set[Callable[[], object]] = set()

    def routes(self) -> list[BaseRoute]:
        """Return the one route.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(FOLLOW_PATH, answering_errors(self._follow))]

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Answer every request at once within the block: a server that stops waits for open ones."""
        self._paused = True
        self.wake()
        try:
            yield
        finally:
            self._paused = False

    def wake(self) -> None:
        """Have every open request looked at again."""
        with self._changed:
            waiting = list(self._waiting)
        for wake in waiting:
            with contextlib.suppress(RuntimeError):  # its event loop is closed
                wake()

    def settle(self, service: str, number: int, seconds: float = _LONGEST_SETTLE) -> bool:
        """Wait until every door that follows a service has taken a policy.

        Args:
            service: The name of the service.
            number: The number of the policy.
            seconds: For how long at most. A door that has not taken it by then counts as gone.

        Returns:
            Whether all have.
        """
        until = time.monotonic() + seconds

        def late() -> list[_Follower]:
            return [one for one, taken in self._taken.items() if one[0] == service and taken < number]

        with self._changed:
            while missing := late():
                if not self._changed.wait(until - time.monotonic()) and time.monotonic() >= until:
                    for one in missing:
                        self._taken.pop(one, None)
                    return False
        return True

    async def _follow(self, request: Request) -> Response:
        service, follower, seen = _asked(request)
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        with self._changed:
            self._waiting.add(wake)
            self._taken[service, follower] = seen
            self._changed.notify_all()
        gone = True
        try:
            if self._store.get(service).number == seen and not self._paused:
                await _first_of(woken, request)
            gone = await request.is_disconnected()
        finally:
            with self._changed:
                self._waiting.discard(wake)
                if gone:  # or the server has cancelled it
                    self._taken.pop((service, follower), None)
                    self._changed.notify_all()
        stored = self._store.get(service)
        if self._paused:
            return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE)
        if stored.number == seen:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return JSONResponse({"number": stored.number, "policy": policy_answer(stored)})


async def _first_of(woken: asyncio.Event, request: Request) -> None:
    """Wait for a change, for the end of the connection, or for the longest time."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(woken.wait()), asyncio.ensure_future(disconnected())]
    try:
        await asyncio.wait(tasks, timeout=LONGEST_POLL, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _asked(request: Request) -> tuple[str, str, int]:
    check_control(request)
    query = request.query_params
    follower, seen = query.get("follower", ""), query.get("seen", "")
    if not 0 < len(follower) <= _LONGEST_ID:
        raise GoogleError("INVALID_ARGUMENT", "The request needs a 'follower'")
    try:
        return service_name(query.get("service", "")), follower, int(seen)
    except ConfigurationError as error:
        raise GoogleError("INVALID_ARGUMENT", str(error)) from None
    except ValueError:
        raise GoogleError("INVALID_ARGUMENT", "The request needs a number in 'seen'") from None
