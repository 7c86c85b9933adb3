"""Cloud Tasks with an HTTP target: its headers, its retries, and what it counts.

Sources: the pages ``projects.locations.queues`` (retries) and ``projects.locations.queues.tasks`` (statuses,
``User-Agent``) of https://cloud.google.com/tasks/docs/reference/rest/v2/, and for the headers
https://firebase.google.com/docs/reference/functions/firebase-functions.tasks.taskcontext.
``X-CloudTasks-TaskRetryReason`` is not sent, because its values are not documented.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT
from doorward_integrations.emulator.senders.delivery import Delivery, Dispatcher
from doorward_integrations.emulator.senders.plan import Attempt, Doublings, Outgoing, Plan, merged

__all__ = ["CloudTasks"]

_USER_AGENT: Final = "Google-Cloud-Tasks"
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, kw_only=True)
class CloudTasks:
    """A queue whose tasks have HTTP targets with an OIDC token.

    Attributes:
        dispatcher: Makes the requests.
        service_account: The account that the tasks name.
        audience: The audience that the tasks name; None for the URL of the task, with its query.
        queue: The short name of the queue.
        max_attempts: Attempts for each task; None for no limit.
        least_wait: Seconds before the first retry.
        most_wait: Seconds before a retry at most.
        doublings: How often the wait doubles.
        deadline: Seconds in which the endpoint must answer.
    """

    dispatcher: Dispatcher = field(repr=False)
    service_account: str = DEFAULT_ACCOUNT
    audience: str | None = None
    queue: str = "doorward-demo"
    max_attempts: int | None = 100
    least_wait: float = 0.1
    most_wait: float = 3_600.0
    doublings: int = 16
    deadline: float = 600.0

    def __post_init__(self) -> None:
        """Refuse settings that no queue has.

        Raises:
            ConfigurationError: If one cannot work.
        """
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts={self.max_attempts} must be 1 or more, or None")
        self._wait()

    def send(
        self,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        task: str | None = None,
    ) -> Delivery:
        """Dispatch a task until it succeeds or its attempts are used up.

        Args:
            url: The URL of the task.
            body: Its body. Cloud Tasks adds no ``Content-Type``.
            headers: Its own headers.
            method: Its method.
            task: Its short name; by default 19 random digits.

        Returns:
            What came of it.

        Raises:
            ConfigurationError: If the URL cannot be used, or there is no token to be got.
        """
        name = str(10**18 + secrets.randbelow(9 * 10**18)) if task is None else task
        own = {
            "User-Agent": _USER_AGENT,
            "X-CloudTasks-QueueName": self.queue,
            "X-CloudTasks-TaskName": name,
            "X-CloudTasks-TaskETA": f"{self.dispatcher.clock():.6f}",
        }
        fixed = merged(headers, own)
        return self.dispatcher.deliver(
            Plan(
                sender="Cloud Tasks",
                url=url,
                account=self.service_account,
                audience=url if self.audience is None else self.audience,
                request=functools.partial(_request, fixed, body, method),
                wait=functools.partial(_after, self._wait()),
                attempts=self.max_attempts,
                deadline=self.deadline,
            )
        )

    def _wait(self) -> Doublings:
        return Doublings(least=self.least_wait, most=self.most_wait, doublings=self.doublings)


def _request(fixed: Mapping[str, str], body: bytes, method: str, before: Sequence[Attempt]) -> Outgoing:
    # A 5xx counts as a retry, but not as an execution; neither does an attempt without an answer.
    executed = [one for one in before if one.status is not None and one.status < _SERVER_ERROR]
    headers = {
        **fixed,
        "X-CloudTasks-TaskRetryCount": str(len(before)),
        "X-CloudTasks-TaskExecutionCount": str(len(executed)),
    }
    if before and before[-1].status is not None:
        headers["X-CloudTasks-TaskPreviousResponse"] = str(before[-1].status)
    return Outgoing(headers=headers, body=body, method=method)


def _after(wait: Doublings, attempts: Sequence[Attempt]) -> float:
    """Wait at least as long as the endpoint asks: it is documented that ``Retry-After`` is considered.

    How much longer Cloud Tasks waits after a 429 or a 503 is not documented, so nothing is added for those.
    """
    return max(wait(attempts), attempts[-1].retry_after or 0.0)
