"""Ready-made doors for Google's event senders.

Each of them attaches an ID token of a service account that its owner chose. Who may invoke an event function
is then exactly that account, with a token made for exactly that audience; no other account of the
project needs to be trusted. What a sender puts into ``aud`` by default is on its page, as far as it is
documented; where it is not, the audience must be given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from doorward.audiences.audience import Audience
from doorward.door.door import Door
from doorward.errors import ConfigurationError
from doorward.issuers.service_accounts import fold, is_service_account
from doorward.policy.iam import InvokerPolicy
from doorward.tokens.verifier import Verifier

__all__ = ["EventSender", "cloud_scheduler", "cloud_tasks", "eventarc", "pubsub_push", "workflows"]


@dataclass(frozen=True, slots=True)
class EventSender:
    """A sender of events, and how it proves who it is.

    Attributes:
        name: Its name in errors.
        service_accounts: The addresses whose tokens it sends.
        audience: What those tokens are made for.
    """

    name: str
    service_accounts: tuple[str, ...]
    audience: str | Audience

    def __post_init__(self) -> None:
        """Refuse what would let others in.

        Raises:
            ConfigurationError: If there is no service account, or one is something else.
        """
        if not self.service_accounts:
            raise ConfigurationError(
                f"{self.name} needs the service account that the subscription or trigger names"
            )
        for email in self.service_accounts:
            if not isinstance(email, str) or not is_service_account(fold(email)) or email.count("@") != 1:
                raise ConfigurationError(
                    f"{self.name}: {email!r} is not the address of a service account; events carry no other"
                )

    @property
    def policy(self) -> InvokerPolicy:
        """The policy that admits this sender only."""
        return InvokerPolicy.from_members(f"serviceAccount:{email}" for email in self.service_accounts)

    def door(self, **settings: Any) -> Door:  # noqa: ANN401 - those of `Verifier`
        """Make the door for the endpoint.

        Args:
            **settings: For the `Verifier`.

        Returns:
            A door that admits this sender only.
        """
        return Door(Verifier(self.audience, **settings), self.policy)


def _accounts(service_account: str | Iterable[str]) -> tuple[str, ...]:
    return (service_account,) if isinstance(service_account, str) else tuple(service_account)


class _ByUrl:
    """A sender that calls a URL, which by default is the audience of its tokens."""

    def __init__(self, name: str, page: str) -> None:
        self.name = name
        self.__doc__ = f"{name} ({page})."

    def __call__(
        self, url: str, service_account: str | Iterable[str], *, audience: str | Audience | None = None
    ) -> EventSender:
        """Describe the sender of one endpoint.

        Args:
            url: The URL that it calls, whole: by default it is the audience.
            service_account: The account that the subscription, task or job names.
            audience: The audience that is set at the sender instead.

        Returns:
            The sender.

        Raises:
            ConfigurationError: If an argument cannot work.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.fragment:
            raise ConfigurationError(f"{self.name}: {url!r} is not the absolute URL of an endpoint")
        if audience is None and parts.query:
            raise ConfigurationError(
                f"{self.name}: by default the audience would be {url!r}, and Cloud Run refuses an audience "
                "with a query: set an audience at the sender, and pass it here"
            )
        return EventSender(self.name, _accounts(service_account), url if audience is None else audience)


pubsub_push: Final = _ByUrl(
    "Pub/Sub push", "https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions"
)
"""Pub/Sub push subscriptions (https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions)."""

cloud_tasks: Final = _ByUrl("Cloud Tasks", "https://cloud.google.com/tasks/docs/creating-http-target-tasks")
"""Cloud Tasks with an OIDC token (https://cloud.google.com/tasks/docs/creating-http-target-tasks)."""

cloud_scheduler: Final = _ByUrl("Cloud Scheduler", "https://cloud.google.com/scheduler/docs/http-target-auth")
"""Cloud Scheduler with an OIDC token (https://cloud.google.com/scheduler/docs/http-target-auth)."""


def eventarc(service_account: str | Iterable[str], *, audience: str | Audience) -> EventSender:
    """Eventarc triggers and pipelines (https://cloud.google.com/eventarc/docs/roles-permissions).

    Args:
        service_account: The account that the trigger names.
        audience: The audience of its tokens. A pipeline's default is the destination's URI; a trigger's is
            not documented, so it must be given: `CloudRunAudience` of the service, or what its first event
            showed.

    Returns:
        The sender.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    return EventSender("Eventarc", _accounts(service_account), audience)


def workflows(service_account: str | Iterable[str], *, audience: str | Audience) -> EventSender:
    """Workflows calling with ``auth: {type: OIDC}``.

    See https://cloud.google.com/workflows/docs/authenticate-from-workflow.

    Args:
        service_account: The account that the workflow runs as.
        audience: The audience that the step sets. Its default is not documented, so it must be given.

    Returns:
        The sender.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    return EventSender("Workflows", _accounts(service_account), audience)
