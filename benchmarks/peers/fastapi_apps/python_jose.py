"""python-jose, in the form that FastAPI's tutorial had for years; keys are fetched when the app starts."""

from __future__ import annotations

import json
import urllib.request
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from jose import JWTError, jwt

from peers.settings import BODY, Settings

settings = Settings.here()
app = FastAPI()
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")
with urllib.request.urlopen(settings.keys_url) as answer:
    keys = {key["kid"]: key for key in json.load(answer)["keys"]}


async def current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> dict[str, Any]:
    try:
        key = keys[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=settings.audience,
            issuer=settings.issuer,
            options={"require_exp": True, "require_iss": True, "require_aud": True},
        )
    except (JWTError, KeyError):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None


@app.get("/")
async def orders(_user: Annotated[dict[str, Any], Depends(current_user)]) -> dict[str, str]:
    return BODY
