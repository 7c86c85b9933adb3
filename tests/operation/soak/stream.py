"""The constant stream of judged requests against the two servers."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from operation.soak.judge import Answer, Fact, Tally, judge
from operation.soak.world import fast_clock
from support.tokens import CALLER, SigningKey, b64, claims, header, token

__all__ = ["FLOOD", "OTHER", "Keys", "Request", "Stream"]

OTHER = "other@doorward-test.iam.gserviceaccount.com"
"""A second caller, whom the policy names only at times."""
FLOOD = 20
"""Tokens with invented key ids that come in each second of a flood, to each server."""
_PATIENCE = 15.0
_RENEW = 20.0  # real seconds for which a token is presented again and again
_PAUSE = 0.02


@dataclass(frozen=True)
class Request:
    """One request, and what its answer must be.

    Attributes:
        kind: Its kind.
        token: The token; None for none.
        member: Whom the application must see; None if no one may pass.
        fact: Decides whether it is admitted; None if it never is.
        unknown: Whether "cannot know" is a right answer where a refusal is.
        known: Whether it is a good token under a key that every server has.
    """

    kind: str
    token: str | None
    member: str | None = None
    fact: Fact | None = None
    unknown: bool = False
    known: bool = False


@dataclass
class Keys:
    """The signing keys: the one in use, and those that come and go.

    Attributes:
        current: Signs the tokens that must always be admitted.
        newest: A key that was published a moment ago, and whether it is known.
        withdrawn: A key that was withdrawn, and whether it is still believed.
    """

    current: SigningKey
    newest: tuple[SigningKey, Fact] | None = None
    withdrawn: tuple[SigningKey, Fact] | None = None


@dataclass
class Stream:
    """Sends requests to the servers until it is ended, and judges each answer.

    Attributes:
        start: When the soak began, on the real clock.
        servers: Their base URLs, by name.
        keys: The signing keys.
        other: Whether the policy names the second caller.
        tally: The verdicts.
        phase: The phase that is on.
        fragile: Whether a connection may break in this phase, as where a worker is killed.
    """

    start: float
    servers: dict[str, str]
    keys: Keys
    other: Fact
    tally: Tally
    phase: str = "start"
    fragile: bool = False
    _always: Fact = field(default_factory=lambda: Fact(value=True))
    _ended: threading.Event = field(default_factory=threading.Event)
    _flooding: threading.Event = field(default_factory=threading.Event)
    _kept: dict[str, tuple[float, str]] = field(default_factory=dict)
    _foreign: SigningKey = field(default_factory=lambda: SigningKey("invented", name="foreign"))

    def await_servers(self) -> None:
        """Wait until every server admits a good token."""
        end = time.monotonic() + 30
        for base in self.servers.values():
            while self._send(base, self.known())[0] != 200:
                assert time.monotonic() < end, f"{base} does not admit a good token"
                time.sleep(0.1)

    def run(self, threads: int = 3) -> list[threading.Thread]:
        """Start the stream: some threads for each server, and one that floods while that is on."""
        work = [
            threading.Thread(target=self._run, args=(name, base, number), daemon=True)
            for name, base in self.servers.items()
            for number in range(threads)
        ]
        work += [
            threading.Thread(target=self._flood, args=(name, base), daemon=True)
            for name, base in self.servers.items()
        ]
        for thread in work:
            thread.start()
        return work

    def end(self) -> None:
        """Send no more."""
        self._ended.set()

    def flood(self, *, on: bool) -> None:
        """Begin or end a flood of invented key ids."""
        (self._flooding.set if on else self._flooding.clear)()

    def _run(self, name: str, base: str, number: int) -> None:
        chance = random.Random(number)
        connection = None
        while not self._ended.wait(_PAUSE):
            request = self._any(chance)
            connection = self.exchange(name, base, request, connection)

    def _flood(self, name: str, base: str) -> None:
        with ThreadPoolExecutor(64) as pool:
            while not self._ended.wait(1 / FLOOD):
                if self._flooding.is_set():
                    key = SigningKey(f"invented-{time.monotonic_ns()}", name="foreign")
                    pool.submit(self.exchange, name, base, self._made("unknown kid", key, unknown=True), None)

    def known(self, fact: Fact | None = None) -> Request:
        """Present the same token again and again, as service accounts do; admitted always, or by a fact."""
        kid, now = self.keys.current.kid, time.monotonic()
        made_at, made = self._kept.get(kid, (0.0, ""))
        if not made or now - made_at > _RENEW:
            made = token(self.keys.current, fast_clock(self.start))
            self._kept[kid] = (now, made)
        who = f"serviceAccount:{CALLER}"
        if fact is not None:
            return Request("known from cold", made, who, fact, unknown=True)
        return Request("known", made, who, self._always, known=True)

    def exchange(
        self,
        name: str,
        base: str,
        request: Request,
        connection: http.client.HTTPConnection | None = None,
    ) -> http.client.HTTPConnection | None:
        """Send one request and judge its answer.

        Args:
            name: The server.
            base: Its base URL.
            request: The request.
            connection: The connection to use, if one is open.

        Returns:
            The connection, if it is still open.
        """
        phase, fragile, began = self.phase, self.fragile, time.monotonic()
        status, caller, connection = self._send(base, request, connection)
        answer = Answer(request.kind, status, caller, began, time.monotonic())
        granted = {False} if request.fact is None else request.fact.possible(answer.began, answer.ended)
        unknown = request.unknown and False in granted
        verdict = judge(answer, request.member, granted, unknown_allowed=unknown)
        if verdict == "broken" and (fragile or self.fragile):
            verdict = "cut off"
        self.tally.add(phase, name, answer, verdict, known=request.known)
        return connection

    def _send(
        self, base: str, request: Request, connection: http.client.HTTPConnection | None = None
    ) -> tuple[int, str, http.client.HTTPConnection | None]:
        """Send one request, and again on a new connection where the server had closed an idle one."""
        headers = {} if request.token is None else {"authorization": f"Bearer {request.token}"}
        for fresh in (connection is None, True):
            if connection is None:
                connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=_PATIENCE)
            try:
                connection.request("GET", "/", headers=headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
                if fresh:
                    break
                continue
            caller = json.loads(body) if answer.status == 200 else ""
            return answer.status, caller, connection
        return 0, "", None

    # The requests.

    def _any(self, chance: random.Random) -> Request:
        kinds: list[tuple[int, Callable[[], Request]]] = [
            (8, self.known),
            (
                2,
                lambda: self._made(
                    "never seen", self.keys.current, member=CALLER, fact=self._always, known=True
                ),
            ),
            (3, lambda: self._made("other caller", self.keys.current, member=OTHER, fact=self.other)),
            (1, lambda: self._made("expired", self.keys.current, age=7_200.0)),
            (1, lambda: self._made("other audience", self.keys.current, aud="https://other.example")),
            (1, self._forged),
            (1, self._unsigned),
            (1, lambda: Request("no credential", None)),
        ]
        if (newest := self.keys.newest) is not None:
            key, fact = newest
            kinds.append((3, lambda: self._made("new key", key, member=CALLER, fact=fact, unknown=True)))
        if (withdrawn := self.keys.withdrawn) is not None:
            gone, believed = withdrawn
            kinds.append((1, lambda: self._made("old key", gone, member=CALLER, fact=believed, unknown=True)))
        weights = [weight for weight, _ in kinds]
        return chance.choices([make for _, make in kinds], weights)[0]()

    def _made(
        self,
        kind: str,
        key: SigningKey,
        *,
        member: str | None = None,
        fact: Fact | None = None,
        unknown: bool = False,
        known: bool = False,
        age: float = 0.0,
        **changed: object,
    ) -> Request:
        """Make a token that was never seen."""
        email = CALLER if member is None else member
        made = token(key, fast_clock(self.start) - age, email=email, nonce=time.monotonic_ns(), **changed)
        who = None if member is None else f"serviceAccount:{member}"
        return Request(kind, made, who, fact, unknown, known)

    def _forged(self) -> Request:
        return self._made("forged", SigningKey(self.keys.current.kid, name="foreign"))

    def _unsigned(self) -> Request:
        head = b64(json.dumps({**header(self.keys.current), "alg": "none"}).encode())
        payload = b64(json.dumps(claims(fast_clock(self.start))).encode())
        return Request("unsigned", f"{head}.{payload}.")
