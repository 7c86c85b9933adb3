"""Pub/Sub push subscriptions: wrapped and unwrapped messages, and what counts as an acknowledgement.

Sources: https://cloud.google.com/pubsub/docs/push (form, statuses that acknowledge, push backoff),
https://cloud.google.com/pubsub/docs/payload-unwrapping (headers), and
https://cloud.google.com/pubsub/docs/handling-failures (retry policy, dead-letter topics).
"""

from __future__ import annotations

import base64
import functools
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT
from doorward_integrations.emulator.senders.delivery import Delivery, Dispatcher
from doorward_integrations.emulator.senders.plan import Attempt, Outgoing, Plan, exponential, rfc3339

__all__ = ["ACKNOWLEDGED", "PUSH_USER_AGENT", "Message", "PubSubPush"]

ACKNOWLEDGED: Final = frozenset({102, 200, 201, 202, 204})
"""The statuses that acknowledge a message; every other one, and no answer in time, is a negative one."""

PUSH_USER_AGENT: Final = "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)"
"""What request logs of Cloud Run show for pushes with a token. Google's page on unwrapping shows
``CloudPubSub-Google`` instead."""

_RETENTION: Final = 7 * 86_400.0
_SUBSCRIPTION: Final = re.compile(r"projects/(?P<project>[^/]+)/subscriptions/(?P<name>[^/]+)")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# An attribute may not take the place of what the push itself writes, or frame the request anew.
_RESERVED: Final = re.compile(
    r"(authorization|x-serverless-authorization|proxy-.*|host|connection|content-length|transfer-encoding|te"
    r"|trailer|upgrade|expect|keep-alive|x-goog-.*)",
    re.IGNORECASE,
)
_ATTEMPTS: Final = range(5, 101)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A published message.

    Attributes:
        data: Its data.
        attributes: Its attributes.
        ordering_key: Its ordering key; empty for none.
        id: Its id.
        published: When it was published, in seconds since the epoch.
    """

    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str
    id: str
    published: float

    @classmethod
    def publish(
        cls,
        now: float,
        data: bytes,
        attributes: Mapping[str, str] | None = None,
        *,
        ordering_key: str = "",
        message_id: str | None = None,
    ) -> Message:
        """Publish a message.

        Args:
            now: The time, in seconds since the epoch.
            data: Its data.
            attributes: Its attributes.
            ordering_key: Its ordering key.
            message_id: Its id; by default 16 random digits.

        Returns:
            The message.

        Raises:
            ConfigurationError: If it has neither data nor attributes, which Pub/Sub does not accept.
        """
        if not data and not attributes:
            raise ConfigurationError("a Pub/Sub message needs data or an attribute")
        made = str(10**15 + secrets.randbelow(9 * 10**15))
        return cls(
            data=data,
            attributes=dict(attributes or {}),
            ordering_key=ordering_key,
            id=made if message_id is None else message_id,
            published=now,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the message in the form in which a push wraps it; each of two members has two names."""
        published = rfc3339(self.published)
        message: dict[str, Any] = {"attributes": dict(self.attributes)} if self.attributes else {}
        if self.data:
            message["data"] = base64.b64encode(self.data).decode("ascii")
        message |= {"messageId": self.id, "message_id": self.id}
        if self.ordering_key:
            message["orderingKey"] = self.ordering_key
        return message | {"publishTime": published, "publish_time": published}


@dataclass(frozen=True, kw_only=True)
class PubSubPush:
    """A push subscription with authentication.

    Attributes:
        dispatcher: Makes the requests.
        service_account: The account that the subscription names.
        audience: The audience that the subscription names; None for the URL of the endpoint.
        subscription: Its whole name, ``projects/PROJECT/subscriptions/NAME``.
        unwrapped: Whether the data alone is the body, instead of a JSON object with the message.
        write_metadata: Whether an unwrapped push carries the rest of the message in headers.
        dead_letter_after: Delivery attempts before a message goes to the dead-letter topic, 5 to 100; None
            without such a topic. With one, a wrapped push says ``deliveryAttempt``.
        least_wait: Seconds before the first retry.
        most_wait: Seconds before a retry at most. The defaults are those of push backoff; a subscription with
            a retry policy has 10 and 600 unless it says otherwise.
        deadline: Seconds in which the endpoint must answer.
        user_agent: What the requests carry in ``User-Agent``.
    """

    dispatcher: Dispatcher = field(repr=False)
    service_account: str = DEFAULT_ACCOUNT
    audience: str | None = None
    subscription: str = "projects/doorward-demo/subscriptions/doorward-demo"
    unwrapped: bool = False
    write_metadata: bool = False
    dead_letter_after: int | None = None
    least_wait: float = 0.1
    most_wait: float = 60.0
    deadline: float = 10.0
    user_agent: str = PUSH_USER_AGENT

    def __post_init__(self) -> None:
        """Refuse settings that no subscription has.

        Raises:
            ConfigurationError: If one cannot work.
        """
        if _SUBSCRIPTION.fullmatch(self.subscription) is None:
            raise ConfigurationError(f"{self.subscription!r} must be projects/PROJECT/subscriptions/NAME")
        if self.dead_letter_after is not None and self.dead_letter_after not in _ATTEMPTS:
            raise ConfigurationError(
                f"dead_letter_after={self.dead_letter_after} must be from {_ATTEMPTS[0]} to {_ATTEMPTS[-1]}"
            )
        if self.write_metadata and not self.unwrapped:
            raise ConfigurationError("write_metadata is for unwrapped pushes: others have all in the body")

    def send(
        self,
        url: str,
        data: bytes = b"",
        attributes: Mapping[str, str] | None = None,
        *,
        ordering_key: str = "",
        message_id: str | None = None,
    ) -> Delivery:
        """Publish a message, and push it until it is acknowledged or given up.

        Args:
            url: The endpoint.
            data: The data.
            attributes: The attributes.
            ordering_key: The ordering key.
            message_id: The id; by default a random one. It is the same in every attempt.

        Returns:
            What came of it.

        Raises:
            ConfigurationError: If the message or the URL cannot be used, or there is no token to be got.
        """
        message = Message.publish(
            self.dispatcher.clock(), data, attributes, ordering_key=ordering_key, message_id=message_id
        )
        if self.write_metadata:
            _check_headers(message)
        return self.dispatcher.deliver(self._plan(url, message))

    def _plan(self, url: str, message: Message) -> Plan:
        dead = self.dead_letter_after
        return Plan(
            sender="Pub/Sub",
            url=url,
            account=self.service_account,
            audience=url if self.audience is None else self.audience,
            request=functools.partial(self._raw if self.unwrapped else self._wrapped, message),
            wait=exponential(self.least_wait, self.most_wait),
            accepts=ACKNOWLEDGED.__contains__,
            attempts=dead,
            lasting=_RETENTION,
            deadline=self.deadline,
            dead_letter=None if dead is None else functools.partial(self._dead_letter, message),
        )

    def _wrapped(self, message: Message, before: Sequence[Attempt]) -> Outgoing:
        body: dict[str, Any] = {"message": message.as_dict(), "subscription": self.subscription}
        if self.dead_letter_after is not None:
            body["deliveryAttempt"] = len(before) + 1
        headers = {"Content-Type": "application/json", "User-Agent": self.user_agent}
        return Outgoing(headers=headers, body=json.dumps(body).encode())

    def _raw(self, message: Message, before: Sequence[Attempt]) -> Outgoing:
        del before  # nothing in it counts attempts
        headers = {"User-Agent": self.user_agent}
        if self.write_metadata:
            headers |= message.attributes
            headers["x-goog-pubsub-subscription-name"] = self.subscription
            headers["x-goog-pubsub-message-id"] = message.id
            headers["x-goog-pubsub-publish-time"] = rfc3339(message.published)
            if message.ordering_key:
                headers["x-goog-pubsub-ordering-key"] = message.ordering_key
        return Outgoing(headers=headers, body=message.data)

    def _dead_letter(self, message: Message, attempts: Sequence[Attempt]) -> dict[str, Any]:
        found = _SUBSCRIPTION.fullmatch(self.subscription)
        project, name = ("", "") if found is None else (found["project"], found["name"])
        added = {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(len(attempts)),
            "CloudPubSubDeadLetterSourceSubscription": name,
            "CloudPubSubDeadLetterSourceSubscriptionProject": project,
            "CloudPubSubDeadLetterSourceTopicPublishTime": rfc3339(message.published),
        }
        dead: dict[str, Any] = {"attributes": {**message.attributes, **added}}
        if message.data:
            dead["data"] = base64.b64encode(message.data).decode("ascii")
        return dead | ({"orderingKey": message.ordering_key} if message.ordering_key else {})


def _check_headers(message: Message) -> None:
    """Refuse what cannot be a header, or would be another one than an attribute.

    Raises:
        ConfigurationError: If there is such an attribute, or such an ordering key.
    """
    for name, value in {**message.attributes, "x-ordering-key": message.ordering_key}.items():
        plain = value.isascii() and (value.isprintable() or not value) and value == value.strip()
        if _HEADER_NAME.fullmatch(name) is None or _RESERVED.fullmatch(name) or not plain:
            raise ConfigurationError(
                f"the attribute {name!r} cannot be written as a header: use another name or value, or leave "
                "out write_metadata"
            )
