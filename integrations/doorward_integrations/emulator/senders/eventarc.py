"""Eventarc triggers: CloudEvents in binary content mode, delivered over Pub/Sub.

Sources: https://cloud.google.com/eventarc/docs/cloudevents (headers and bodies) and
https://cloud.google.com/eventarc/docs/retry-events (those of Pub/Sub: after 10 to 600 s, for a day).
Which audience a trigger's tokens have is not documented, so it must be given.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT
from doorward_integrations.emulator.senders.delivery import Delivery, Dispatcher
from doorward_integrations.emulator.senders.plan import Outgoing, Plan, exponential, rfc3339, unchanged
from doorward_integrations.emulator.senders.pubsub import ACKNOWLEDGED, PUSH_USER_AGENT, Message

__all__ = ["MESSAGE_PUBLISHED", "Eventarc"]

MESSAGE_PUBLISHED: Final = "google.cloud.pubsub.topic.v1.messagePublished"
"""The type of events that carry a Pub/Sub message."""

_DAY: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Eventarc:
    """A trigger of Eventarc Standard.

    Attributes:
        dispatcher: Makes the requests.
        audience: The audience of its tokens.
        service_account: The account that the trigger names.
        topic: The topic of its Pub/Sub events, ``projects/PROJECT/topics/NAME``.
        subscription: The subscription that Eventarc made, as its Pub/Sub events name it.
        retries: Whether it retries; a trigger that was made in the console of Cloud Run does not.
        deadline: Seconds in which the endpoint must answer.
    """

    dispatcher: Dispatcher = field(repr=False)
    audience: str
    service_account: str = DEFAULT_ACCOUNT
    topic: str = "projects/doorward-demo/topics/doorward-demo"
    subscription: str = "projects/doorward-demo/subscriptions/eventarc-europe-west1-doorward-demo-sub-000"
    retries: bool = True
    deadline: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a trigger without an audience.

        Raises:
            ConfigurationError: If it is empty.
        """
        if not self.audience:
            raise ConfigurationError(
                "Eventarc: give the audience of its tokens, which has no documented default"
            )

    def send_message(
        self,
        url: str,
        data: bytes = b"",
        attributes: Mapping[str, str] | None = None,
        *,
        ordering_key: str = "",
        message_id: str | None = None,
    ) -> Delivery:
        """Deliver a Pub/Sub message as the event ``messagePublished``.

        Args:
            url: The endpoint.
            data: The data of the message.
            attributes: Its attributes.
            ordering_key: Its ordering key.
            message_id: Its id, which is the event's too; by default a random one.

        Returns:
            What came of it.

        Raises:
            ConfigurationError: If the message or the URL cannot be used, or there is no token to be got.
        """
        message = Message.publish(
            self.dispatcher.clock(), data, attributes, ordering_key=ordering_key, message_id=message_id
        )
        return self.send(
            url,
            {"message": message.as_dict(), "subscription": self.subscription},
            type=MESSAGE_PUBLISHED,
            source=f"//pubsub.googleapis.com/{self.topic}",
            id=message.id,
        )

    def send(
        self,
        url: str,
        data: Any,  # noqa: ANN401 - any JSON value
        *,
        type: str,  # noqa: A002 - the name that the CloudEvents specification gives it
        source: str,
        id: str | None = None,  # noqa: A002 - as above
        subject: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> Delivery:
        """Deliver any event.

        Args:
            url: The endpoint.
            data: The data of the event: a JSON value.
            type: The type of the event, such as ``google.cloud.audit.log.v1.written``.
            source: Its source, such as ``//storage.googleapis.com/projects/_/buckets/orders``.
            id: Its id; by default a random one. It is the same in every attempt.
            subject: Its subject; None for none.
            attributes: Further attributes of the event by name, such as ``bucket``.

        Returns:
            What came of it.

        Raises:
            ConfigurationError: If the event or the URL cannot be used, or there is no token to be got.
        """
        named = {
            **(attributes or {}),
            "id": secrets.token_hex(16) if id is None else id,
            "source": source,
            "specversion": "1.0",
            "type": type,
            "time": rfc3339(self.dispatcher.clock()),
        }
        if subject is not None:
            named["subject"] = subject
        headers = {f"ce-{name}": _checked(name, value) for name, value in named.items()}
        headers |= {"Content-Type": "application/json", "User-Agent": PUSH_USER_AGENT}
        return self.dispatcher.deliver(
            self._plan(url, Outgoing(headers=headers, body=json.dumps(data).encode()))
        )

    def _plan(self, url: str, outgoing: Outgoing) -> Plan:
        return Plan(
            sender="Eventarc",
            url=url,
            account=self.service_account,
            audience=self.audience,
            request=unchanged(outgoing),
            wait=exponential(10.0, 600.0),
            accepts=ACKNOWLEDGED.__contains__,
            retries=lambda _: self.retries,
            lasting=_DAY,
            deadline=self.deadline,
        )


def _checked(name: str, value: str) -> str:
    # CloudEvents 1.0, section "Naming conventions": lower-case letters and digits.
    plain = name.isascii() and name.isalnum() and name == name.lower()
    if not plain or not value or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ConfigurationError(
            f"the event's attribute {name!r} must have a name of lower-case letters and digits, and a value "
            "of printable ASCII that is not empty"
        )
    return value
