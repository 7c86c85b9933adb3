"""Cloud Scheduler with an HTTP target: its headers and its retries.

Source: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs (headers, retry
configuration, attempt deadline).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT
from doorward_integrations.emulator.senders.delivery import Delivery, Dispatcher
from doorward_integrations.emulator.senders.plan import Doublings, Outgoing, Plan, merged, unchanged

__all__ = ["CloudScheduler"]

_USER_AGENT: Final = "Google-Cloud-Scheduler"
_MOST_RETRIES: Final = 5


@dataclass(frozen=True, kw_only=True)
class CloudScheduler:
    """A job with an HTTP target and an OIDC token.

    Attributes:
        dispatcher: Makes the requests.
        service_account: The account that the job names.
        audience: The audience that the job names; None for the URL of its target.
        job: The short name of the job.
        retries: Retries after a failure, 0 to 5; by default there is none.
        least_wait: Seconds before the first retry.
        most_wait: Seconds before a retry at most.
        doublings: How often the wait doubles.
        deadline: Seconds in which the endpoint must answer.
    """

    dispatcher: Dispatcher = field(repr=False)
    service_account: str = DEFAULT_ACCOUNT
    audience: str | None = None
    job: str = "doorward-demo"
    retries: int = 0
    least_wait: float = 5.0
    most_wait: float = 3_600.0
    doublings: int = 5
    deadline: float = 180.0

    def __post_init__(self) -> None:
        """Refuse settings that no job has.

        Raises:
            ConfigurationError: If one cannot work.
        """
        if not 0 <= self.retries <= _MOST_RETRIES:
            raise ConfigurationError(f"retries={self.retries} must be from 0 to {_MOST_RETRIES}")
        self._wait()

    def send(
        self,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
    ) -> Delivery:
        """Run the job now.

        Args:
            url: The URL of its target.
            body: Its body.
            headers: Its own headers.
            method: Its method.

        Returns:
            What came of it.

        Raises:
            ConfigurationError: If the URL cannot be used, or there is no token to be got.
        """
        scheduled = datetime.fromtimestamp(self.dispatcher.clock(), tz=UTC).isoformat(timespec="seconds")
        own = {
            "User-Agent": _USER_AGENT,
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": self.job,
            "X-CloudScheduler-ScheduleTime": scheduled.replace("+00:00", "Z"),
        }
        sent = merged(headers, own)
        if body and not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/octet-stream"
        outgoing = Outgoing(headers=sent, body=body, method=method)
        return self.dispatcher.deliver(
            Plan(
                sender="Cloud Scheduler",
                url=url,
                account=self.service_account,
                audience=url if self.audience is None else self.audience,
                request=unchanged(outgoing),
                wait=self._wait(),
                attempts=1 + self.retries,
                deadline=self.deadline,
            )
        )

    def _wait(self) -> Doublings:
        return Doublings(least=self.least_wait, most=self.most_wait, doublings=self.doublings)
