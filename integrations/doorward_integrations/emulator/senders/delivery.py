"""How an event is delivered: attempts, each with a new token, and waits between them, up to a limit.

What is particular to one sender is in its `Plan`; clock and sleep are arguments, so that a test of a day of
retries takes no time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.destination import check_destination
from doorward_integrations.emulator.senders.plan import Attempt, Plan
from doorward_integrations.emulator.senders.tokens import TokenSource

__all__ = ["Delivery", "Dispatcher", "Ending"]

_LARGEST_ANSWER: Final = 65_536
_ATTEMPTS: Final = 10


class Ending(StrEnum):
    """How a delivery ended."""

    DELIVERED = "delivered"
    """The endpoint has accepted it."""
    DEAD_LETTERED = "dead_lettered"
    """The sender's limit was reached, and the message went to its dead-letter topic."""
    GIVEN_UP = "given_up"
    """The sender's own limit was reached, or it does not retry what happened."""
    STOPPED = "stopped"
    """The emulator's bound was reached; the real sender would go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What came of an event.

    Attributes:
        sender: The sender, such as ``Pub/Sub``.
        url: Where it was delivered to.
        ending: How it ended.
        attempts: Every request, in order.
        dead_letter: The message that the dead-letter topic receives; None if there is none.
    """

    sender: str
    url: str
    ending: Ending
    attempts: tuple[Attempt, ...]
    dead_letter: Mapping[str, Any] | None = None

    @property
    def delivered(self) -> bool:
        """Whether the endpoint has accepted it."""
        return self.ending is Ending.DELIVERED

    @property
    def waited(self) -> float:
        """The seconds between the first attempt and the last one, as the sender waits."""
        return sum(attempt.waited for attempt in self.attempts)


class Dispatcher:
    """Delivers events: makes the requests of a plan, attaches a new token to each, and waits between them."""

    def __init__(
        self,
        tokens: TokenSource,
        *,
        attempts: int = _ATTEMPTS,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare to deliver.

        Args:
            tokens: Where the tokens come from.
            attempts: How many attempts are made at most, where the real sender might go on for days.
            clock: Returns the time in seconds since the epoch, for what the senders write into requests.
            sleep: Waits for seconds; one that returns at once makes all attempts one after the other.
            transport: Sends the requests; over the network by default.

        Raises:
            ConfigurationError: If no attempt is allowed.
        """
        if attempts < 1:
            raise ConfigurationError(f"attempts={attempts} must be 1 or more")
        self._tokens = tokens
        self._attempts = attempts
        self.clock = clock
        self._sleep = sleep
        self._transport = transport

    def __repr__(self) -> str:
        """Show the bound."""
        return f"Dispatcher(attempts={self._attempts})"

    def deliver(self, plan: Plan) -> Delivery:
        """Deliver one event, and return when it is accepted or given up.

        Args:
            plan: What the sender does.

        Returns:
            What came of it.

        Raises:
            ConfigurationError: If the URL cannot be used, or there is no token to be got.
        """
        check_destination(plan.url, plan.sender)
        attempts: list[Attempt] = []
        ending, waited = None, 0.0
        with httpx.Client(transport=self._transport, trust_env=False, timeout=plan.deadline) as client:
            while ending is None:
                if attempts:
                    self._sleep(waited)
                attempts.append(self._attempt(client, plan, attempts, waited))
                waited = plan.wait(attempts)
                ending = self._ending(plan, attempts, waited)
        return Delivery(
            sender=plan.sender,
            url=plan.url,
            ending=ending,
            attempts=tuple(attempts),
            dead_letter=plan.dead_letter(attempts)
            if ending is Ending.DEAD_LETTERED and plan.dead_letter is not None
            else None,
        )

    def _ending(self, plan: Plan, attempts: Sequence[Attempt], next_wait: float) -> Ending | None:
        """Return how the delivery ends after an attempt; None if there is another one."""
        last = attempts[-1]
        if last.status is not None and plan.accepts(last.status):
            return Ending.DELIVERED
        lasted = sum(attempt.waited for attempt in attempts)
        over = plan.lasting is not None and lasted + next_wait > plan.lasting
        if over or len(attempts) == plan.attempts or not plan.retries(last):
            return Ending.GIVEN_UP if plan.dead_letter is None else Ending.DEAD_LETTERED
        return Ending.STOPPED if len(attempts) >= self._attempts else None

    def _attempt(self, client: httpx.Client, plan: Plan, before: Sequence[Attempt], waited: float) -> Attempt:
        outgoing = plan.request(before)
        token = self._tokens(plan.account, plan.audience)
        # Not the client's method, which would add headers of its own.
        request = httpx.Request(
            outgoing.method,
            plan.url,
            headers={**outgoing.headers, "Authorization": f"Bearer {token}"},
            content=outgoing.body,
        )
        number = len(before) + 1
        try:
            answer = client.send(request, stream=True)
            try:
                body = _beginning(answer, plan.deadline)
            finally:
                answer.close()
        except httpx.TimeoutException:
            return Attempt(number=number, waited=waited, status=None, error="no answer in time")
        except httpx.HTTPError as error:
            return Attempt(number=number, waited=waited, status=None, error=type(error).__name__)
        return Attempt(
            number=number,
            waited=waited,
            status=answer.status_code,
            retry_after=_seconds(answer.headers.get("retry-after")),
            answer=body,
        )


def _beginning(answer: httpx.Response, deadline: float) -> bytes:
    """Read the beginning of a body; one that never ends holds up nothing."""
    body, end = bytearray(), time.monotonic() + deadline
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) >= _LARGEST_ANSWER or time.monotonic() > end:
            break
    return bytes(body[:_LARGEST_ANSWER])


def _seconds(text: str | None) -> float | None:
    """Read a delay in seconds; a date in its place is not read (RFC 9110, section 10.2.3)."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - decades
