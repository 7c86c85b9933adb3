"""Who is in a group, asked of the Cloud Identity API and remembered.

https://cloud.google.com/identity/docs/reference/rest/v1/groups.memberships/checkTransitiveMembership. Google
answers it for some editions only (Workspace Enterprise Standard and Plus, Enterprise for Education, Cloud
Identity Premium), with 403 for the others.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from doorward.errors import ConfigurationError, FetchError, KeysUnavailableError
from doorward.keys.fetch import Fetch, HttpxFetch
from doorward.keys.flight import Flight
from doorward.keys.http.urls import check_key_url
from doorward.policy.groups import Unresolved
from doorward.strictjson import StrictJSONError, read_object
from doorward.tokens.principal import Principal

__all__ = ["CloudIdentityGroups"]

_GROUP_NAME: Final = re.compile(r"groups/[A-Za-z0-9_-]+")
_TOKEN: Final = re.compile(r"[!-~]+")
_LIMIT: Final = 64 * 1024
_AHEAD: Final = 0.8  # of its life, after which an answer in use is asked for again

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is remembered of one account in one group: an answer, or why there is none."""

    answer: bool | None
    reason: str
    ageing: float
    until: float


class CloudIdentityGroups:
    """Looks up members of groups through Cloud Identity, and never makes a decision wait.

    An answer that is remembered is given at once. Where there is none, a look-up begins in a thread of its
    own, and the decision is "cannot know now" (503) until it has finished: no event loop stands still for it.
    Answers in use are asked for again before they run out. A look-up that fails grants nothing, is not
    repeated for a while, and takes no answer away before its time.
    """

    def __init__(
        self,
        access_token: Callable[[], str],
        *,
        ttl: float = 300.0,
        negative_ttl: float = 60.0,
        retry: float = 10.0,
        capacity: int = 10_000,
        concurrency: int = 8,
        base_url: str = "https://cloudidentity.googleapis.com",
        fetch: Fetch | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Configure it; nothing is asked before the first decision that needs it.

        Args:
            access_token: Gives an OAuth access token with the scope
                ``https://www.googleapis.com/auth/cloud-identity.groups.readonly``; called in the look-up's
                thread, for each look-up.
            ttl: Seconds for which somebody found in a group stays in it: who is taken out may invoke for so
                long.
            negative_ttl: Seconds for which somebody not found in a group stays out.
            retry: Seconds after a failure before the same is asked again.
            capacity: Answers that are remembered at most; the one used longest ago goes first.
            concurrency: Look-ups under way at most.
            base_url: Where the API is, ``https`` (or ``http`` to loopback).
            fetch: How to ask; over httpx, within 10 s, by default.
            monotonic: A clock that never goes back, in seconds.

        Raises:
            ConfigurationError: If a bound is not positive, or the address is not usable.
        """
        if min(ttl, negative_ttl, retry, capacity, concurrency) <= 0:
            raise ConfigurationError("ttl, negative_ttl, retry, capacity and concurrency must be positive")
        self._token = access_token
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._retry = retry
        self._capacity = capacity
        self._concurrency = concurrency
        self._base = check_key_url(base_url).rstrip("/")
        self._fetch = HttpxFetch(limit=_LIMIT) if fetch is None else fetch
        self._monotonic = monotonic
        self._names: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._begin()

    def _begin(self) -> None:
        """Start without look-ups under way: those of a parent process do not land in its child."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._flights: dict[_Key, Flight] = {}
        self._count = 0

    def __call__(self, group: str, principal: Principal) -> bool | Unresolved:
        """Tell whether a principal is in a group, by its address.

        Args:
            group: The address of the group.
            principal: The caller.

        Returns:
            As `look_up`.
        """
        if principal.member is None:
            return False
        return self.look_up(group.lower(), principal.member.partition(":")[2])

    def look_up(self, group: str, address: str) -> bool | Unresolved:
        """Tell whether an account is in a group, directly or through other groups; see `GroupDirectory`.

        Args:
            group: The address of the group, in lower case.
            address: The address of the account, in lower case.

        Returns:
            What is remembered; or that it is not known, with the look-up to wait for.
        """
        if self._pid != os.getpid():
            self._begin()
        key, now = (group, address), self._monotonic()
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and now < entry.until:
                self._entries.move_to_end(key)
                if entry.answer is None:
                    return Unresolved(entry.reason)
                if now < entry.ageing:
                    return entry.answer
                self._start(key, now)
                return entry.answer
            flight = self._start(key, now)
            if flight is not None:
                return Unresolved(f"whether {address} is in {group} is being looked up", flight)
            under_way = next(iter(self._flights.values()), None)
        return Unresolved("no look-up of group members can begin now", under_way)

    def _start(self, key: _Key, now: float) -> Flight | None:
        """Give the look-up under way for a key, with the lock held; begin one if there is none."""
        if (flight := self._flights.get(key)) is not None:
            return flight
        if len(self._flights) >= self._concurrency:
            return None
        self._count += 1
        flight = self._flights[key] = Flight(self._count, now, "group")
        if not flight.start(lambda _: self._work(key)):
            del self._flights[key]
            return None
        return flight

    def _work(self, key: _Key) -> None:
        """Look up, and record what came of it; in a thread of its own."""
        answer: bool | None = None
        reason = "the look-up ended early"
        try:
            answer, reason = self._ask(*key), ""
        except (FetchError, StrictJSONError, ConfigurationError, KeysUnavailableError) as error:
            reason = f"{key[0]} could not be looked up: {error}"
        except Exception as error:  # noqa: BLE001 - the user's access_token may raise anything, and hold a secret
            reason = f"{key[0]} could not be looked up: {type(error).__name__}"
        finally:
            self._record(key, answer, reason)

    def _record(self, key: _Key, answer: bool | None, reason: str) -> None:  # noqa: FBT001 - None is the third
        now = self._monotonic()
        life = self._retry if answer is None else self._ttl if answer else self._negative_ttl
        entry = _Entry(answer, reason, now + life * _AHEAD, now + life)
        with self._lock:
            self._flights.pop(key, None)
            before = self._entries.get(key)
            if answer is None and before is not None and before.answer is not None and now < before.until:
                # It stays known until its time is up, and is not asked for again before `retry` is over.
                ageing = min(now + self._retry, before.until)
                entry = _Entry(before.answer, "", ageing, before.until)
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def _ask(self, group: str, address: str) -> bool:
        token = self._token()
        # A header that is not one would be repeated in the error of whoever refuses it.
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ConfigurationError("access_token() did not give an access token")
        headers = {"authorization": f"Bearer {token}"}
        name = self._name(group, headers)
        member = address.replace("\\", "\\\\").replace("'", "\\'")
        query = quote(f"member_key_id == '{member}'", safe="")
        found = self._get(f"/v1/{name}/memberships:checkTransitiveMembership?query={query}", headers)
        answer = found.get("hasMembership", False)  # false is left out of proto3 JSON
        if not isinstance(answer, bool):
            raise FetchError("content", "the answer does not say whether it has the membership")
        return answer

    def _name(self, group: str, headers: dict[str, str]) -> str:
        """Find the name that the API has for a group."""
        now = self._monotonic()
        with self._lock:
            known = self._names.get(group)
        if known is not None and now < known[1]:
            return known[0]
        found = self._get(f"/v1/groups:lookup?groupKey.id={quote(group, safe='')}", headers)
        name = found.get("name")
        if not isinstance(name, str) or not _GROUP_NAME.fullmatch(name):
            raise FetchError("content", "the answer names no group")
        with self._lock:
            self._names[group] = (name, now + self._ttl)
            self._names.move_to_end(group)
            while len(self._names) > self._capacity:
                self._names.popitem(last=False)
        return name

    def _get(self, target: str, headers: dict[str, str]) -> dict[str, object]:
        answer = self._fetch(self._base + target, headers)
        return dict(read_object(answer.body or b""))

    def __repr__(self) -> str:
        """Show where it asks, and how much it remembers; members are people."""
        return f"CloudIdentityGroups({self._base!r}, {len(self._entries)} answers)"
