"""joserfc, which Authlib's JOSE part has become; keys are fetched when the app starts."""

from __future__ import annotations

import json
import urllib.request
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from peers.settings import BODY, Settings

settings = Settings.here()
app = FastAPI()
with urllib.request.urlopen(settings.keys_url) as answer:
    keys = KeySet.import_key_set(json.load(answer))
registry = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": settings.issuer},
    aud={"essential": True, "value": settings.audience},
    exp={"essential": True},
)


async def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    try:
        token = jwt.decode(bearer.credentials, keys, algorithms=["RS256"])
        registry.validate(token.claims)
    except (JoseError, ValueError):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
    return token.claims


@app.get("/")
async def orders(_caller: Annotated[dict[str, Any], Depends(caller)]) -> dict[str, str]:
    return BODY
