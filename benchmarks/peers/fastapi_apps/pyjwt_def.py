"""PyJWT with its key client, in a dependency that is not async: FastAPI runs it in a thread."""

from __future__ import annotations

from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from peers.settings import BODY, Settings

settings = Settings.here()
app = FastAPI()
keys = jwt.PyJWKClient(settings.keys_url)


def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    try:
        key = keys.get_signing_key_from_jwt(bearer.credentials)
        return jwt.decode(
            bearer.credentials,
            key,
            algorithms=["RS256"],
            audience=settings.audience,
            issuer=settings.issuer,
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.PyJWTError:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None


@app.get("/")
async def orders(_caller: Annotated[dict[str, Any], Depends(caller)]) -> dict[str, str]:
    return BODY
