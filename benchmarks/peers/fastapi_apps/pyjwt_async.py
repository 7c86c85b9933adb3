"""PyJWT with its key client, in an async dependency: while it fetches keys, no other request is served."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from peers.fastapi_apps import pyjwt_def
from peers.settings import BODY

app = FastAPI()


async def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    return pyjwt_def.caller(bearer)


@app.get("/")
async def orders(_caller: Annotated[dict[str, Any], Depends(caller)]) -> dict[str, str]:
    return BODY
