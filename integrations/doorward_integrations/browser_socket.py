"""The websocket of a browser whose token came in a subprotocol, which the application does not see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doorward.door.subprotocol import BEARER_PROTOCOL, SubprotocolHeaders, without_token
from doorward_integrations.admission import DOOR

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.types import Message, Send

__all__ = ["hide_token", "hide_token_in_scope"]


def hide_token_in_scope(scope: MutableMapping[str, Any]) -> bool:
    """Take the token out of the subprotocols of a scope.

    Args:
        scope: The scope that the application receives, with the door in it.

    Returns:
        Whether the door looks there at all; else the scope stays as it is.
    """
    looks = isinstance(scope[DOOR].credential, SubprotocolHeaders)
    if looks and "subprotocols" in scope:
        scope["subprotocols"] = without_token(scope["subprotocols"])
    return looks


def hide_token(scope: MutableMapping[str, Any], send: Send) -> Send:
    """Take the token out of the subprotocols of a scope, and have one chosen that is none.

    A browser ends a websocket for which it offered subprotocols and none was chosen.

    Args:
        scope: As for `hide_token_in_scope`.
        send: Sends a message to the client.

    Returns:
        What the application sends with.
    """
    if not hide_token_in_scope(scope) or BEARER_PROTOCOL not in scope.get("subprotocols", ()):
        return send

    async def send_and_choose(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": BEARER_PROTOCOL}
        await send(message)

    return send_and_choose
