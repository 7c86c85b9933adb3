"""A stand-in for the Cloud Identity API, to be served by an `HttpEndpoint`."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.httpendpoint import Peer, response
from support.tokens import CALLER

TEAM = "team@example.com"
TOKEN = "ya29.a-token-that-must-stay-secret"


class Directory:
    """Answers look-ups of groups and of their members.

    Attributes:
        groups: The names of the groups that exist, by address.
        members: Pairs of group name and address.
        down: What is answered instead, if anything.
        hold: What each answer waits for, if anything.
        asked: The path and the value of each look-up.
        arrived: Set with the first of them.
    """

    def __init__(self) -> None:
        self.groups = {TEAM: "groups/01abc"}
        self.members = {("groups/01abc", CALLER)}
        self.down: bytes | None = None
        self.hold: threading.Event | None = None
        self.asked: list[tuple[str, str]] = []
        self.arrived = threading.Event()

    def __call__(self, peer: Peer) -> None:
        url = urlsplit(peer.request.target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        (value,) = query.values()
        self.asked.append((url.path, value))
        self.arrived.set()
        if self.hold is not None:
            assert self.hold.wait(10)
        assert f"Bearer {TOKEN}" == peer.request.headers["authorization"]
        peer.send(self.down if self.down is not None else self._answer(url.path, value))

    def _answer(self, path: str, value: str) -> bytes:
        if path == "/v1/groups:lookup":
            if (name := self.groups.get(value)) is None:
                return response(b"{}", status="403 Forbidden")
            return json_response({"name": name})
        name = path.removeprefix("/v1/").removesuffix("/memberships:checkTransitiveMembership")
        address = value.removeprefix("member_key_id == '").removesuffix("'").replace("\\", "")
        return json_response({"hasMembership": True} if (name, address) in self.members else {})


def json_response(document: Any) -> bytes:
    """Return an HTTP response with a JSON document."""
    return response(json.dumps(document).encode(), "Content-Type: application/json")
