"""With a dependency that does nothing."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

from peers.settings import BODY

app = FastAPI()


async def caller(connection: HTTPConnection) -> str:  # noqa: ARG001 - as a dependency that looks at a request
    return "caller"


@app.get("/")
async def orders(_caller: Annotated[str, Depends(caller)]) -> dict[str, str]:
    return BODY
