"""google-auth over CacheControl, which keeps the certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import cachecontrol
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from google.auth.transport import requests
from requests import session

from peers.google_loopback import REFUSALS, verify_oauth2_token
from peers.settings import BODY, Settings

settings = Settings.here()
app = FastAPI()
request = requests.Request(session=cachecontrol.CacheControl(session()))


def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> Mapping[str, Any]:
    try:
        return verify_oauth2_token(bearer.credentials, request, settings.audience)
    except REFUSALS:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None


@app.get("/")
async def orders(_caller: Annotated[Mapping[str, Any], Depends(caller)]) -> dict[str, str]:
    return BODY
