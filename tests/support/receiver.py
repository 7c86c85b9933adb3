"""A receiver of events without a network: it records what it gets, and answers as a test scripts it."""

from __future__ import annotations

import json
from typing import Any

import httpx

URL = "http://127.0.0.1:8080/events"
AUDIENCE = "https://orders-1234567890.europe-west1.run.app"
ACCOUNT = "pusher@orders.iam.gserviceaccount.com"


class Receiver(httpx.MockTransport):
    """An endpoint whose answers are given in order; the last one is given for ever."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.answers: list[Any] = [204]
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self.minted: list[tuple[str, str]] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        whole = answer if isinstance(answer, httpx.Response) else httpx.Response(answer)
        # As over the network: not read yet.
        return httpx.Response(
            whole.status_code, headers=whole.headers, stream=httpx.ByteStream(whole.content)
        )

    @property
    def last(self) -> httpx.Request:
        return self.requests[-1]

    def body(self) -> Any:
        return json.loads(self.last.content)

    def headers(self) -> dict[str, str]:
        """Give the headers of the last request but those of HTTP itself, and the token."""
        left_out = {"host", "content-length", "authorization"}
        return {name: value for name, value in self.last.headers.items() if name not in left_out}

    def mint(self, account: str, audience: str) -> str:
        self.minted.append((account, audience))
        return f"token-{len(self.minted)}"
