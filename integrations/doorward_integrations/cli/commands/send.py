"""``doorward send``: delivers one event to a URL, as Google's senders do, with a token of the emulator's."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TextIO

from doorward.errors import ConfigurationError

if TYPE_CHECKING:  # at run time only the command that is called imports them
    from doorward_integrations.emulator.senders import Attempt, Delivery, Dispatcher

__all__ = ["HELP", "add_arguments", "run", "send"]

HELP: Final = "deliver an event as Pub/Sub, Cloud Tasks, Scheduler, Eventarc or Workflows do"

_DELIVERED: Final = 0
_NOT_DELIVERED: Final = 1
_SHOWN: Final = 500
_SENDERS: Final = {
    "pubsub": "a message, as a push subscription delivers it",
    "task": "a task, as Cloud Tasks dispatches it",
    "schedule": "a run of a job, as Cloud Scheduler makes it",
    "eventarc": "a CloudEvent, as an Eventarc trigger delivers it",
    "workflow": "a call, as a step of a workflow makes it",
}
_OWN_METHOD: Final = ("task", "schedule", "workflow")


def add_arguments(parser: ArgumentParser) -> None:
    """Add one command for each sender.

    Args:
        parser: The parser of the command.
    """
    choices = parser.add_subparsers(dest="sender", required=True, metavar="SENDER")
    for name, what in _SENDERS.items():
        one = choices.add_parser(name, help=what, description=f"Deliver {what}.")
        one.add_argument("--to", required=True, metavar="URL", help="the endpoint, here or with https")
        one.add_argument("--as", dest="account", metavar="EMAIL", help="the service account of the token")
        documented = name not in ("eventarc", "workflow")
        audience = "the audience of the token" + (" (default: the URL)" if documented else "")
        one.add_argument("--audience", required=not documented, metavar="AUD", help=audience)
        one.add_argument("--data", default="", metavar="TEXT", help="what is sent; - reads standard input")
        one.add_argument("--attempts", type=int, default=10, help="stop after so many (default: %(default)s)")
        one.add_argument("--no-wait", action="store_true", help="retry at once, where the sender would wait")
        one.add_argument("--json", action="store_true", help="the result as one line of JSON")
        _OWN_ARGUMENTS[name](one)
        if name in _OWN_METHOD:
            one.add_argument("--method", default="POST", help="(default: %(default)s)")
            _pairs(one, "--header", "a header of its own")


def _pairs(parser: ArgumentParser, option: str, what: str) -> None:
    parser.add_argument(
        option,
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help=f"{what} (may be repeated)",
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(text)
    return name, value


def _pubsub_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--subscription", metavar="NAME", help="projects/PROJECT/subscriptions/NAME")
    _pairs(parser, "--attribute", "an attribute of the message")
    parser.add_argument("--ordering-key", default="", metavar="KEY", help="the ordering key of the message")
    parser.add_argument("--unwrapped", action="store_true", help="send the data alone as the body")
    parser.add_argument("--write-metadata", action="store_true", help="with the rest of it in headers")
    parser.add_argument(
        "--dead-letter-after", type=int, metavar="N", help="attempts before the dead-letter topic (5 to 100)"
    )


def _task_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--queue", metavar="NAME", help="the short name of the queue")
    parser.add_argument("--task", metavar="NAME", help="the short name of the task (default: a random one)")
    parser.add_argument("--max-attempts", type=int, metavar="N", help="of the queue (default: 100)")


def _schedule_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--job", metavar="NAME", help="the short name of the job")
    parser.add_argument("--retries", type=int, metavar="N", help="of the job, 0 to 5 (default: 0)")


def _eventarc_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--type", metavar="TYPE", help="its type (default: a published Pub/Sub message)")
    parser.add_argument("--source", metavar="SOURCE", help="its source")
    parser.add_argument("--subject", metavar="SUBJECT", help="its subject")
    parser.add_argument("--topic", metavar="NAME", help="projects/PROJECT/topics/NAME, of a Pub/Sub message")
    _pairs(parser, "--attribute", "an attribute of the event or message")


def _workflow_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--retry", choices=("none", "default", "non_idempotent"), help="of the step (default: none)"
    )


_OWN_ARGUMENTS: Final[dict[str, Callable[[ArgumentParser], None]]] = {
    "pubsub": _pubsub_arguments,
    "task": _task_arguments,
    "schedule": _schedule_arguments,
    "eventarc": _eventarc_arguments,
    "workflow": _workflow_arguments,
}


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Deliver an event.

    Args:
        chosen: The parsed arguments.
        out: Where every attempt is printed, and how it ended; never a token.
        stdin: What is sent, if ``--data`` is ``-``.

    Returns:
        0 if it was delivered, else 1.

    Raises:
        ConfigurationError: If an argument cannot work, or there is no emulator to get a token from.
    """
    from doorward_integrations.emulator.senders import (  # noqa: PLC0415 - what only this command needs
        Dispatcher,
        tokens_of_emulator,
    )

    sleep = (lambda _: None) if chosen.no_wait else time.sleep
    dispatcher = Dispatcher(tokens_of_emulator(), attempts=chosen.attempts, sleep=sleep)
    delivery = send(chosen, dispatcher, stdin.read() if chosen.data == "-" else chosen.data)
    if chosen.json:
        print(json.dumps(_plain(delivery)), file=out)
    else:
        for attempt in delivery.attempts:
            print(_line(attempt), file=out)
        print(_ENDINGS[delivery.ending], file=out)
    return _DELIVERED if delivery.delivered else _NOT_DELIVERED


_ENDINGS: Final = {
    "delivered": "Delivered.",
    "dead_lettered": "Not delivered: it goes to the dead-letter topic.",
    "given_up": "Not delivered: the sender makes no further attempt.",
    "stopped": "Not delivered: stopped here (--attempts); the real sender would go on.",
}


def send(chosen: Namespace, dispatcher: Dispatcher, data: str) -> Delivery:
    """Deliver the event that the arguments describe.

    Args:
        chosen: The parsed arguments.
        dispatcher: Makes the requests.
        data: What is sent.

    Returns:
        What came of it.

    Raises:
        ConfigurationError: If an argument cannot work, or there is no token to be got.
    """
    common = {"dispatcher": dispatcher, **_given(chosen, audience="audience", service_account="account")}
    return _SEND[chosen.sender](chosen, common, data)


def _send_message(chosen: Namespace, common: dict[str, Any], data: str) -> Delivery:
    from doorward_integrations.emulator.senders import PubSubPush  # noqa: PLC0415 - only where it is called

    names = ("subscription", "unwrapped", "write_metadata", "dead_letter_after")
    push = PubSubPush(**common, **_given(chosen, **{name: name for name in names}))
    return push.send(chosen.to, data.encode(), dict(chosen.attribute), ordering_key=chosen.ordering_key)


def _send_task(chosen: Namespace, common: dict[str, Any], data: str) -> Delivery:
    from doorward_integrations.emulator.senders import CloudTasks  # noqa: PLC0415 - only where it is called

    queue = CloudTasks(**common, **_given(chosen, queue="queue", max_attempts="max_attempts"))
    headers = dict(chosen.header)
    return queue.send(chosen.to, data.encode(), headers, method=chosen.method, task=chosen.task)


def _run_job(chosen: Namespace, common: dict[str, Any], data: str) -> Delivery:
    from doorward_integrations.emulator.senders import CloudScheduler  # noqa: PLC0415 - only where it is called

    job = CloudScheduler(**common, **_given(chosen, job="job", retries="retries"))
    return job.send(chosen.to, data.encode(), dict(chosen.header), method=chosen.method)


def _call(chosen: Namespace, common: dict[str, Any], data: str) -> Delivery:
    from doorward_integrations.emulator.senders import Workflows  # noqa: PLC0415 - only where it is called

    step = Workflows(**common, **_given(chosen, retry="retry"))
    value = None if not data else _json(data)
    return step.send(chosen.to, value, dict(chosen.header), method=chosen.method)


def _send_event(chosen: Namespace, common: dict[str, Any], data: str) -> Delivery:
    from doorward_integrations.emulator.senders import Eventarc  # noqa: PLC0415 - only where it is called

    trigger = Eventarc(**common, **_given(chosen, topic="topic"))
    if chosen.type is None:
        if chosen.source is not None or chosen.subject is not None:
            raise ConfigurationError("--source and --subject need --type; a Pub/Sub message has its own")
        return trigger.send_message(chosen.to, data.encode(), dict(chosen.attribute))
    if chosen.source is None:
        raise ConfigurationError(
            "--type needs --source, such as //storage.googleapis.com/projects/_/buckets/B"
        )
    return trigger.send(
        chosen.to,
        _json(data or "{}"),
        type=chosen.type,
        source=chosen.source,
        subject=chosen.subject,
        attributes=dict(chosen.attribute),
    )


_SEND: Final[dict[str, Callable[[Namespace, dict[str, Any], str], Delivery]]] = {
    "pubsub": _send_message,
    "task": _send_task,
    "schedule": _run_job,
    "eventarc": _send_event,
    "workflow": _call,
}


def _given(chosen: Namespace, **names: str) -> dict[str, Any]:
    """Return the settings that the command line gives, by the names that the senders have for them."""
    given = {setting: getattr(chosen, argument) for setting, argument in names.items()}
    return {setting: value for setting, value in given.items() if value is not None}


def _json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"--data must be JSON here: {error}") from None


def _plain(delivery: Delivery) -> dict[str, Any]:
    attempts = [
        {"number": one.number, "waited": one.waited, "status": one.status, "error": one.error or None}
        for one in delivery.attempts
    ]
    plain: dict[str, Any] = {"sender": delivery.sender, "url": delivery.url, "ending": delivery.ending}
    return plain | {"attempts": attempts, "dead_letter": delivery.dead_letter}


def _line(attempt: Attempt) -> str:
    after = f" after {attempt.waited:g} s" if attempt.waited else ""
    return f"attempt {attempt.number}{after}: {attempt.error if attempt.status is None else attempt.status}"
