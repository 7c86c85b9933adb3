"""What the gateway answers itself, where neither the door nor the upstream does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward_integrations.gateway.record import current

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["Failure", "answer"]

_DENIAL = "websocket.http.response"


class Failure(Exception):  # noqa: N818 - it is an outcome, not a mistake
    """Why a request gets its answer from the gateway.

    Attributes:
        status: The status of the answer.
        reason: The stable code, for the log.
        sentence: What the client reads.
        error: What only the log says.
    """

    def __init__(self, status: int, reason: str, sentence: str, error: str = "") -> None:
        """Say why.

        Args:
            status: The status of the answer.
            reason: The stable code, for the log.
            sentence: What the client reads.
            error: What only the log says; the same sentence if it is empty.
        """
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.error: str = error or sentence


async def answer(failure: Failure, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that no answer has begun for.

    Args:
        failure: What to say.
        scope: Its scope, of type http or websocket.
        receive: Receives from the client.
        send: Sends to the client.
    """
    if (record := current.get(None)) is not None:
        record.reason, record.error = failure.reason, failure.error
    body = f"{failure.sentence}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        kind = _DENIAL
        if _DENIAL not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": 1013})
            return
    await send({"type": f"{kind}.start", "status": failure.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})
