"""Google's event senders, on this machine: each delivers to a URL as the real one does, with its token.

::

    dispatcher = Dispatcher(tokens_of_issuer(emulator.issuer))
    push = PubSubPush(dispatcher=dispatcher, audience=AUDIENCE)
    assert push.send("http://127.0.0.1:8080/events", b"hello").delivered

There is one object for each sender, over one core (`delivery`) that attaches tokens, retries and waits. With
``sleep=lambda seconds: None`` nothing is waited for. Receivers are guarded by the doors of
`doorward.senders`.
"""

from __future__ import annotations

from doorward_integrations.emulator.senders.delivery import Delivery, Dispatcher, Ending
from doorward_integrations.emulator.senders.eventarc import Eventarc
from doorward_integrations.emulator.senders.plan import Attempt
from doorward_integrations.emulator.senders.pubsub import PubSubPush
from doorward_integrations.emulator.senders.scheduler import CloudScheduler
from doorward_integrations.emulator.senders.tasks import CloudTasks
from doorward_integrations.emulator.senders.tokens import TokenSource, tokens_of_emulator, tokens_of_issuer
from doorward_integrations.emulator.senders.workflows import Workflows

__all__ = [
    "Attempt",
    "CloudScheduler",
    "CloudTasks",
    "Delivery",
    "Dispatcher",
    "Ending",
    "Eventarc",
    "PubSubPush",
    "TokenSource",
    "Workflows",
    "tokens_of_emulator",
    "tokens_of_issuer",
]
