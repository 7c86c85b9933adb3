"""google-auth as documented: a request object made on the spot, and certificates fetched for each token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from google.auth.transport import requests

from peers.google_loopback import REFUSALS, verify_oauth2_token
from peers.settings import BODY, Settings

settings = Settings.here()
app = FastAPI()


def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> Mapping[str, Any]:
    try:
        return verify_oauth2_token(bearer.credentials, requests.Request(), settings.audience)
    except REFUSALS:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None


@app.get("/")
async def orders(_caller: Annotated[Mapping[str, Any], Depends(caller)]) -> dict[str, str]:
    return BODY
