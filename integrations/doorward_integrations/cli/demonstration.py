"""``doorward demo``: a guarded application, an emulator and Google's own client, all on this machine.

Every request goes over real HTTP, and every token that a client would fetch is fetched by the unmodified
``google.oauth2.id_token.fetch_id_token``. Only the hostile ones are made by hand.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, TextIO

import httpx

from doorward import ConfigurationError, Door, InvokerPolicy, Principal, Verifier
from doorward.door.log import LoggedRefusal
from doorward.extras import needs_extra
from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    Emulator,
    LoopbackServer,
    RunningEmulator,
    SigningKey,
)

with needs_extra("demo"):
    from fastapi import Depends, FastAPI

    from doorward_integrations.cli.demonstrated_functions import function_rows
    from doorward_integrations.cli.demonstrated_gateway import gateway_rows
    from doorward_integrations.fastapi import InvokerMiddleware, caller

__all__ = ["demo"]

_AUDIENCE: Final = "https://orders-1234567890.europe-west1.run.app"
_MEMBER: Final = f"serviceAccount:{DEFAULT_ACCOUNT}"
_OUTSIDER: Final = "outsider@doorward-demo.iam.gserviceaccount.com"
_HOUR: Final = 3_600
_LINE: Final = "{:<48}{:<23}{:<23}{}"
_RECOVERY_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table."""

    request: str
    expected: str
    seen: str

    @property
    def as_expected(self) -> bool:
        return self.expected == self.seen


class _Reasons(logging.Handler):
    """Keeps the reason of the last refusal: the answer on the wire does not say it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        refused: LoggedRefusal | None = getattr(record, "doorward_refusal", None)
        if refused is not None:
            self.last = refused["reason"]


class _Service:
    """A guarded application under uvicorn, and a client that says in one word how it answers."""

    def __init__(self, policy: InvokerPolicy, reasons: _Reasons) -> None:
        app = FastAPI()
        app.add_middleware(InvokerMiddleware, door=Door(Verifier(_AUDIENCE), policy))

        @app.get("/orders")
        async def orders(principal: Annotated[Principal, Depends(caller)]) -> str:
            return str(principal)

        self._server = LoopbackServer(app)
        self._reasons = reasons

    @contextlib.contextmanager
    def serve(self) -> Iterator[Callable[[str | None], str]]:
        with self._server as server, httpx.Client(base_url=server.url, trust_env=False) as client:

            def call(token: str | None) -> str:
                headers = {} if token is None else {"authorization": f"Bearer {token}"}
                answer = client.get("/orders", headers=headers)
                if answer.is_success:
                    return f"{answer.status_code} {answer.json()}"
                return f"{answer.status_code} {self._reasons.last}"

            yield call


def demo(out: TextIO) -> int:
    """Run the demo.

    Args:
        out: Where the table is printed.

    Returns:
        0 if every answer was as expected, else 1.

    Raises:
        ConfigurationError: If the environment keeps it from running.
    """
    started = time.monotonic()
    reasons = _Reasons()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_listening(reasons))
        emulator = Emulator()
        running = stack.enter_context(emulator.serve())
        stack.enter_context(_environment(running.environment()))
        fetch = _google_client()
        print(
            f"Emulator at {running.url}; tokens by google-auth's fetch_id_token; app under uvicorn.\n",
            file=out,
        )
        rows: list[_Row] = []
        shown = itertools.chain(
            _rows(fetch, emulator, reasons),
            _function_rows(fetch, running, reasons),
            _gateway_rows(fetch),
        )
        for row in shown:
            rows.append(row)
            verdict = "ok" if row.as_expected else "WRONG"
            print(
                _LINE.format(row.request, _short(row.expected), _short(row.seen), verdict),
                file=out,
                flush=True,
            )
    wrong = sum(not row.as_expected for row in rows)
    verdict = (
        f"{len(rows)} answers as expected" if not wrong else f"{wrong} of {len(rows)} answers NOT as expected"
    )
    print(f"\n{verdict}, in {time.monotonic() - started:.1f} s.", file=out)
    return 1 if wrong else 0


def _function_rows(fetch: Callable[..., str], running: RunningEmulator, reasons: _Reasons) -> Iterator[_Row]:
    """Make the requests of functions and of events."""
    running.emulator.certs.bring_up()
    for request, expected, seen in function_rows(running, fetch, lambda: reasons.last):
        yield _Row(request, expected, seen)


def _gateway_rows(fetch: Callable[..., str]) -> Iterator[_Row]:
    """Make the requests to a service behind the gateway."""
    return itertools.starmap(_Row, gateway_rows(fetch))


def _rows(fetch: Callable[..., str], emulator: Emulator, reasons: _Reasons) -> Iterator[_Row]:
    """Make every request to one service."""
    policy = InvokerPolicy.from_members([_MEMBER])
    issuer, certs = emulator.issuer, emulator.certs
    admitted = f"200 {_MEMBER}"
    with _Service(policy, reasons).serve() as call:
        certs.take_down()
        cold = call(fetch())
        certs.bring_up()
        recovered = _until_admitted(call, fetch())
        good = fetch()
        yield _Row("a service account that the policy names", admitted, call(good))
        yield _Row("no credential", "403 no_credential", call(None))
        yield _Row("not a JWT", "401 malformed", call("not-a-token"))
        yield _Row("its payload tampered with", "401 bad_signature", call(_tampered(good)))
        forged = issuer.mint(_AUDIENCE, key=SigningKey(), header={"kid": issuer.current.kid})
        yield _Row("signed with a foreign key, under a known key id", "401 bad_signature", call(forged))
        yield _Row("for another audience", "401 wrong_audience", call(fetch("https://billing.example.com")))
        expired = issuer.mint(_AUDIENCE, issued_at=time.time() - 2 * _HOUR)
        yield _Row("expired", "401 expired", call(expired))
        emulator.accounts.use(_OUTSIDER)
        yield _Row("a service account that the policy does not name", "403 permission_denied", call(fetch()))
        emulator.accounts.use(DEFAULT_ACCOUNT)
        issuer.rotate()
        yield _Row("signed with a new key, after a rotation", admitted, call(fetch()))
        yield _Row("signed with the key before it", admitted, call(good))
        yield _Row("key endpoint down before any key was seen", "503 keys_unavailable", cold)
        yield _Row("key endpoint up again", admitted, recovered)
        certs.take_down()
        yield _Row("key endpoint down after keys were seen", admitted, call(fetch()))


def _short(answer: str) -> str:
    """Give an answer as the table shows it; what is compared is the whole."""
    return answer.replace(_MEMBER, "caller")


def _google_client() -> Callable[..., str]:
    """Take Google's client, which reads where the metadata server is while it is being imported."""
    if "google.auth.compute_engine._metadata" in sys.modules:
        raise ConfigurationError(
            "google-auth is imported already, and has looked for a metadata server elsewhere: "
            "run the demo in a process of its own"
        )
    with needs_extra("demo"):
        id_token: Any = importlib.import_module("google.oauth2.id_token")
        requests: Any = importlib.import_module("google.auth.transport.requests")
    request = requests.Request()

    def fetch(audience: str = _AUDIENCE) -> str:
        token: str = id_token.fetch_id_token(request, audience)
        return token

    return fetch


def _until_admitted(call: Callable[[str], str], token: str) -> str:
    """Come back until the door has asked for keys again, which it does a second or two after a failure."""
    end = time.monotonic() + _RECOVERY_SECONDS
    while (answer := call(token)).startswith("503") and time.monotonic() < end:
        time.sleep(0.25)
    return answer


def _tampered(token: str) -> str:
    """Change one character in the middle of the payload."""
    header, payload, signature = token.split(".")
    middle = len(payload) // 2
    other = "A" if payload[middle] != "A" else "B"
    return f"{header}.{payload[:middle]}{other}{payload[middle + 1 :]}.{signature}"


@contextlib.contextmanager
def _listening(reasons: _Reasons) -> Iterator[None]:
    """Read doorward's log instead of printing it: half of the table is refusals."""
    logger = logging.getLogger("doorward")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(reasons)
    try:
        yield
    finally:
        logger.removeHandler(reasons)
        logger.propagate = propagate


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Lead Google's client and the door to the emulator, past credentials and proxies meant for elsewhere."""
    before = dict(os.environ)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_API_CERTIFICATE_CONFIG"):
        os.environ.pop(name, None)
    os.environ.update(variables, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
