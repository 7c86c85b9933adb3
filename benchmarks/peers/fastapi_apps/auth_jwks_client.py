"""auth-jwks, which has no dependency of its own for FastAPI: its client, awaited in one."""

from __future__ import annotations

from typing import Annotated, Any

from auth_jwks import JWKS
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jwt import InvalidTokenError

from peers.settings import BODY, Settings

settings = Settings.here()
app = FastAPI()
jwks = JWKS(jwks_uri=settings.keys_url, issuer=settings.issuer, aud=settings.audience)


async def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    try:
        return await jwks.verify_token(bearer.credentials)
    except InvalidTokenError:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None


@app.get("/")
async def orders(_caller: Annotated[dict[str, Any], Depends(caller)]) -> dict[str, str]:
    return BODY
