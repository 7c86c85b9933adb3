"""Not guarded."""

from __future__ import annotations

from flask import Flask

from peers.settings import BODY

app = Flask(__name__)


@app.get("/")
def orders() -> dict[str, str]:
    return BODY
