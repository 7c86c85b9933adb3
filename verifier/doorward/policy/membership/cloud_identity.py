"""The members of groups, looked up in the Cloud Identity API and cached.

https://cloud.google.com/identity/docs/reference/rest/v1/groups.memberships/checkTransitiveMembership. Google
answers 403 unless the customer has one of some editions (Workspace Enterprise Standard and Plus, Enterprise
for Education, Cloud Identity Premium).
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypedDict
from urllib.parse import quote

from doorward.errors import ConfigurationError, FetchError, KeysUnavailableError
from doorward.forks import renew_in_children
from doorward.keys.fetch import Fetch, HttpxFetch
from doorward.keys.flight import Flight
from doorward.keys.http.urls import check_key_url
from doorward.policy.membership.groups import Unresolved
from doorward.shown import shortened
from doorward.strictjson import StrictJSONError, read_object
from doorward.tokens.principal import Principal

__all__ = ["CloudIdentityGroups", "GroupHealth"]

_GROUP_NAME: Final = re.compile(r"groups/[A-Za-z0-9_-]+")
_TOKEN: Final = re.compile(r"[!-~]+")
_LARGEST_RESPONSE: Final = 64 * 1024  # bytes
_HANGS_AFTER: Final = 30.0  # seconds: well over the deadline of both requests of a look-up
_REFRESH_AFTER: Final = 0.8  # of the life of an answer: used after that, it is looked up again

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    """The cached answer for one account in one group; or why there is none."""

    answer: bool | None
    reason: str
    refresh_at: float
    expires_at: float


class GroupHealth(TypedDict):
    """What `CloudIdentityGroups.health` returns; it can be written as JSON.

    Attributes:
        url: The API.
        ready: Whether the last look-up succeeded; True before the first one.
        answers: How many answers are cached.
        looking_up: How many look-ups are under way.
        failures: How many look-ups have failed in a row.
        last_error: Why the last look-up failed; None if it did not.
    """

    url: str
    ready: bool
    answers: int
    looking_up: int
    failures: int
    last_error: str | None


class CloudIdentityGroups:
    """Looks up members of groups through Cloud Identity, without blocking a decision.

    A cached answer is returned at once. Without one, a look-up starts in a thread of its own, and the
    decision is "cannot know now" (503) until it has finished: no event loop is blocked. An answer in use is
    looked up again before it expires. A look-up that fails grants nothing, is not repeated for some
    seconds, and does not remove a cached answer before it expires.

    Args:
        access_token: Returns an OAuth access token with the scope
            ``https://www.googleapis.com/auth/cloud-identity.groups.readonly``; called in the thread of
            each look-up.
        ttl: Seconds for which the answer "is in the group" is cached: an account that is removed from a
            group may invoke for so long.
        negative_ttl: Seconds for which the answer "is not in the group" is cached.
        retry: Seconds after a failed look-up before it is repeated.
        capacity: The largest number of cached answers; the least recently used one is dropped first.
        concurrency: The largest number of look-ups under way.
        base_url: The URL of the API, ``https`` (or ``http`` to loopback).
        fetch: Sends the requests; over httpx, within 10 s, by default.
        monotonic: A clock that never goes back, in seconds.

    Raises:
        ConfigurationError: If a number is not positive, or the URL is not usable.
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
        """Take the settings, which the class describes; nothing is looked up yet."""
        if min(ttl, negative_ttl, retry, capacity, concurrency) <= 0:
            raise ConfigurationError("ttl, negative_ttl, retry, capacity and concurrency must be positive")
        self._access_token = access_token
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._retry = retry
        self._capacity = capacity
        self._concurrency = concurrency
        self._base = check_key_url(base_url).rstrip("/")
        self._fetch = HttpxFetch(limit=_LARGEST_RESPONSE) if fetch is None else fetch
        self._monotonic = monotonic
        self._resource_names: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._failures = 0
        self._last_error: str | None = None
        self._begin()
        renew_in_children(self, CloudIdentityGroups._begin)

    def health(self) -> GroupHealth:
        """Return its state as plain data, for a health page. It names no member of a group.

        Returns:
            The members of `GroupHealth`.
        """
        return {
            "url": self._base,
            "ready": self._last_error is None,
            "answers": len(self._entries),
            "looking_up": len(self._flights),
            "failures": self._failures,
            "last_error": self._last_error,
        }

    def _begin(self) -> None:
        """Begin without look-ups under way: those of a parent process do not finish in its child."""
        self._lock = threading.Lock()
        self._flights: dict[_Key, Flight] = {}
        self._started = 0

    def __call__(self, group: str, principal: Principal) -> bool | Unresolved:
        """Return whether a principal is in a group, by its address.

        Args:
            group: The address of the group.
            principal: The caller.

        Returns:
            As `look_up`; False for a principal without an address.
        """
        if principal.member is None:
            return False
        return self.look_up(group.lower(), principal.member.partition(":")[2])

    def look_up(self, group: str, address: str) -> bool | Unresolved:
        """Return whether an account is in a group, directly or through other groups; see `GroupDirectory`.

        Args:
            group: The address of the group, in lower case.
            address: The address of the account, in lower case.

        Returns:
            The cached answer; `Unresolved` if there is none, with the look-up to wait for.
        """
        key, now = (group, address), self._monotonic()
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and now < entry.expires_at:
                self._entries.move_to_end(key)
                if entry.answer is None:
                    return Unresolved(entry.reason)
                if now >= entry.refresh_at:
                    self._start(key, now)
                return entry.answer
            flight = self._start(key, now)
            if flight is not None:
                pending = _worth_waiting_for([flight], now)
                return Unresolved(
                    f"whether {shortened(address)} is in {shortened(group)} is being looked up", pending
                )
            under_way = _worth_waiting_for(self._flights.values(), now)
        return Unresolved("no look-up of group members can start now", under_way)

    def _start(self, key: _Key, now: float) -> Flight | None:
        """Return the look-up under way for a key; start one if there is none. The caller holds the lock."""
        if (flight := self._flights.get(key)) is not None:
            return flight
        if len(self._flights) >= self._concurrency:
            return None
        self._started += 1
        flight = self._flights[key] = Flight(self._started, now, "group")
        if not flight.start(lambda _: self._run(key)):
            del self._flights[key]
            return None
        return flight

    def _run(self, key: _Key) -> None:
        """Look up, and record the outcome; in a thread of its own."""
        answer: bool | None = None
        reason = "the look-up ended early"
        try:
            answer, reason = self._request(*key), ""
        except (FetchError, StrictJSONError, ConfigurationError, KeysUnavailableError) as error:
            reason = f"{shortened(key[0])} could not be looked up: {error}"
        except Exception as error:  # noqa: BLE001 - access_token may raise anything, and repeat a secret in it
            reason = f"{shortened(key[0])} could not be looked up: {type(error).__name__}"
        finally:
            self._record(key, answer, reason)

    def _record(self, key: _Key, answer: bool | None, reason: str) -> None:  # noqa: FBT001 - None is the third
        now = self._monotonic()
        life = self._retry if answer is None else self._ttl if answer else self._negative_ttl
        entry = _Entry(answer, reason, now + life * _REFRESH_AFTER, now + life)
        with self._lock:
            self._flights.pop(key, None)
            self._failures = self._failures + 1 if answer is None else 0
            self._last_error = reason if answer is None else None
            cached = self._entries.get(key)
            if (
                answer is None
                and cached is not None
                and cached.answer is not None
                and now < cached.expires_at
            ):
                # It stays cached until it expires, and is not looked up again before `retry` is over.
                refresh_at = min(now + self._retry, cached.expires_at)
                entry = _Entry(cached.answer, "", refresh_at, cached.expires_at)
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def _request(self, group: str, address: str) -> bool:
        token = self._access_token()
        # An HTTP client repeats a malformed header value in its error, and with it the token.
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ConfigurationError("access_token() did not return an access token")
        headers = {"authorization": f"Bearer {token}"}
        name = self._resource_name(group, headers)
        member = address.replace("\\", "\\\\").replace("'", "\\'")
        query = quote(f"member_key_id == '{member}'", safe="")
        found = self._get(f"/v1/{name}/memberships:checkTransitiveMembership?query={query}", headers)
        answer = found.get("hasMembership", False)  # false is left out of proto3 JSON
        if not isinstance(answer, bool):
            raise FetchError("content", "the response does not say whether the account is a member")
        return answer

    def _resource_name(self, group: str, headers: dict[str, str]) -> str:
        """Return the name that the API has for a group, ``groups/ID``."""
        now = self._monotonic()
        with self._lock:
            cached = self._resource_names.get(group)
        if cached is not None and now < cached[1]:
            return cached[0]
        found = self._get(f"/v1/groups:lookup?groupKey.id={quote(group, safe='')}", headers)
        name = found.get("name")
        if not isinstance(name, str) or not _GROUP_NAME.fullmatch(name):
            raise FetchError("content", "the response names no group")
        with self._lock:
            self._resource_names[group] = (name, now + self._ttl)
            self._resource_names.move_to_end(group)
            while len(self._resource_names) > self._capacity:
                self._resource_names.popitem(last=False)
        return name

    def _get(self, target: str, headers: dict[str, str]) -> dict[str, object]:
        response = self._fetch(self._base + target, headers)
        return dict(read_object(response.body or b""))

    def __repr__(self) -> str:
        """Show the URL and the number of cached answers, not the members, which are personal data."""
        return f"CloudIdentityGroups({self._base!r}, {len(self._entries)} answers)"


def _worth_waiting_for(flights: Iterable[Flight], now: float) -> Flight | None:
    """Return one that may end; None if all hang, in a name look-up or in ``access_token``."""
    return next((flight for flight in flights if now - flight.started_at < _HANGS_AFTER), None)
