"""Calling out: what a token on a request costs, beside google-auth's own session.

Transports are in memory, so that only the work of the libraries is measured:

- a request whose token is cached: a whole GET of each client, without and with its auth;
- the token alone: from doorward's cache, and google-auth's ``before_request``;
- 200 threads at once, nothing cached: how many fetches that causes. The source answers after 50 ms.

google-auth's credentials are its own ``IDTokenCredentials`` of a service account.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx
import httpx2
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account
from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, per_call, rounds, spread
from harness.threads import together
from harness.tokens import AUDIENCE, Key

from doorward_integrations.calling import IdTokens
from doorward_integrations.httpx_auth import Httpx2Auth, HttpxAuth

THREADS = 200
KEY = Key(kid="key-1")
PEM = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


class Source:
    """Gives tokens of an hour, after a pause, and counts."""

    def __init__(self, pause: float = 0.0) -> None:
        self.fetches = 0
        self._pause = pause
        self._lock = threading.Lock()

    def fetch(self, _: str, /) -> str:
        with self._lock:
            self.fetches += 1
        time.sleep(self._pause)
        return KEY.token()


class Answered:
    """An answer of the token endpoint, as google-auth reads it."""

    status = HTTPStatus.OK

    def __init__(self, token: str) -> None:
        self.headers: dict[str, str] = {}
        self.data = json.dumps({"id_token": token}).encode()


def session(source: Source) -> AuthorizedSession:
    """Make a session of google-auth whose requests stay in memory."""
    info = {
        "client_email": "a@b.iam.gserviceaccount.com",
        "private_key": PEM,
        "token_uri": "https://token.example",
    }
    credentials = service_account.IDTokenCredentials.from_service_account_info(info, target_audience=AUDIENCE)
    made = AuthorizedSession(credentials, auth_request=lambda *_, **__: Answered(source.fetch(AUDIENCE)))
    made.mount("https://", InMemory())
    return made


class InMemory(requests.adapters.BaseAdapter):
    """Answers every request with 200."""

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        response = requests.Response()
        response.status_code = HTTPStatus.OK
        response.request, response.url, response._content = request, request.url, b""
        return response

    def close(self) -> None:
        pass


def clients(tokens: IdTokens) -> dict[str, Callable[[], object]]:
    """Return what sends one request, by name."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    transport2 = httpx2.MockTransport(lambda _: httpx2.Response(200))
    bare = requests.Session()
    bare.mount("https://", InMemory())
    getters: dict[str, Any] = {
        "httpx": httpx.Client(transport=transport),
        "httpx with HttpxAuth": httpx.Client(transport=transport, auth=HttpxAuth(AUDIENCE, tokens=tokens)),
        "httpx2": httpx2.Client(transport=transport2),
        "httpx2 with Httpx2Auth": httpx2.Client(
            transport=transport2, auth=Httpx2Auth(AUDIENCE, tokens=tokens)
        ),
        "requests": bare,
        "google-auth's AuthorizedSession": session(Source()),
    }
    return {name: (lambda client=client: client.get(AUDIENCE)) for name, client in getters.items()}


def herd(call: Callable[[Source], Callable[[], object]]) -> Sample:
    """Return a sample of how many fetches 200 threads cause."""

    def sample() -> float:
        source = Source(0.05)
        get = call(source)
        together(THREADS, lambda _: get())
        return source.fetches

    return sample


def doorward_herd(source: Source) -> Callable[[], object]:
    tokens = IdTokens(source)
    return lambda: tokens.get(AUDIENCE)


def google_herd(source: Source) -> Callable[[], object]:
    one = session(source)
    return lambda: one.get(AUDIENCE)


def main() -> None:
    settings = Report.arguments(__doc__, 9).parse_args()
    tokens = IdTokens(Source())
    one = session(Source())
    one.get(AUDIENCE)
    packages = ("doorward", "google-auth", "requests", "httpx", "httpx2")
    report = Report("calling", settings.runs, versions_of(packages))
    groups: dict[tuple[str, str], dict[str, Sample]] = {
        ("a request whose token is cached", "us"): {
            name: per_call(get, 200) for name, get in clients(tokens).items()
        },
        ("the cached token alone", "us"): {
            "doorward's IdTokens.get": per_call(lambda: tokens.get(AUDIENCE), 5_000),
            "google-auth's before_request": per_call(
                lambda: one.credentials.before_request(None, "GET", AUDIENCE, {}), 5_000
            ),
        },
        ("200 threads at once, nothing cached", "fetches"): {
            "doorward": herd(doorward_herd),
            "google-auth": herd(google_herd),
        },
    }
    for (group, unit), samples in groups.items():
        scale = 1e6 if unit == "us" else 1.0
        taken = rounds(samples, settings.runs)
        report.figures += [
            Figure.of(group, name, unit, spread([value * scale for value in values]))
            for name, values in taken.items()
        ]
        if unit == "us" and len(taken) > 2:
            pairs = [("httpx", "httpx with HttpxAuth"), ("httpx2", "httpx2 with Httpx2Auth")]
            pairs.append(("requests", "google-auth's AuthorizedSession"))
            for bare, full in pairs:
                found = [100 * a / b for a, b in zip(taken[full], taken[bare], strict=True)]
                report.figures.append(
                    Figure.of(
                        "a request with its auth, beside the bare client", full, "% of bare", spread(found)
                    )
                )
    report.finish(save=settings.save)


if __name__ == "__main__":
    main()
