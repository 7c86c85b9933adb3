"""A service that is called, and calls another one. Run it with: uvicorn fastapi_calling:app."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward_integrations.fastapi import Invoker, caller
from doorward_integrations.httpx_auth import HttpxAuth

ORDERS = "https://orders-1234567890.europe-west1.run.app"
STOCK = "https://stock-1234567890.europe-west1.run.app"
STOCK_URL = os.environ.get("STOCK_URL", STOCK)  # http://127.0.0.1:8001 on a laptop

door = Door(Verifier(audience=ORDERS), InvokerPolicy.from_file("policy.json"))
stock = httpx.AsyncClient(base_url=STOCK_URL, auth=HttpxAuth(STOCK, origins=STOCK_URL))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with stock:
        yield


app = FastAPI(lifespan=lifespan)
Invoker(app, door)


@app.get("/")
async def orders(who: Annotated[Principal, Depends(caller)]) -> str:
    return f"Hello, {who}"


@app.get("/stock")
async def in_stock() -> str:
    answer = await stock.get("/")
    return answer.raise_for_status().text
