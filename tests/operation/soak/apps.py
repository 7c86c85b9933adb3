"""The two guarded applications of the soak, as their servers import them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from flask import Flask

from doorward import GOOGLE, Door, Issuer, KeyCache, Principal, Verifier, WatchedPolicy
from doorward.keys.fetch import HttpxFetch
from doorward_integrations import fastapi as for_fastapi
from doorward_integrations import flask as for_flask
from doorward_integrations.fastapi import caller
from doorward_integrations.flask import current_principal
from operation.soak.world import SPEED, fast_clock
from support.tokens import AUDIENCE

__all__ = ["CHECK_EVERY", "FETCH_DEADLINE", "fastapi_app", "flask_app"]

CHECK_EVERY = 0.25
"""Real seconds between two looks at the policy file."""
FETCH_DEADLINE = 1.0
"""Real seconds after which a fetch of keys is given up."""
READY = ("GET", "/readyz")


def _door() -> Door:
    start = float(os.environ["SOAK_START"])
    issuer = replace(GOOGLE, key_url=os.environ["SOAK_KEYS"])

    def clock() -> float:
        return fast_clock(start)

    def cache(of: Issuer) -> KeyCache:
        return KeyCache(
            of.key_url,
            of.algorithms,
            fetch=HttpxFetch(deadline=FETCH_DEADLINE),
            snapshot=os.environ.get("SOAK_SNAPSHOT"),
            clock=clock,
            monotonic=lambda: time.monotonic() * SPEED,
        )

    verifier = Verifier(AUDIENCE, issuers=[issuer], key_cache=cache, clock=clock)
    policy = WatchedPolicy(os.environ["SOAK_POLICY"], check_every=CHECK_EVERY)
    return Door(verifier, policy, exempt=[READY])


def fastapi_app() -> FastAPI:
    """Make the application for uvicorn."""
    app, door = FastAPI(), _door()
    for_fastapi.add_readiness(app, door)
    for_fastapi.Invoker(app, door)

    @app.get("/")
    async def show(who: Annotated[Principal, Depends(caller)]) -> str:
        return str(who)

    return app


def flask_app() -> Flask:
    """Make the application for gunicorn."""
    app, door = Flask(__name__), _door()
    for_flask.add_readiness(app, door)
    for_flask.Invoker(app, door)

    @app.get("/")
    def show() -> Any:
        return f'"{current_principal}"'

    return app
