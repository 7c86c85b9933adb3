"""Not guarded."""

from __future__ import annotations

from fastapi import FastAPI

from peers.settings import BODY

app = FastAPI()


@app.get("/")
async def orders() -> dict[str, str]:
    return BODY
