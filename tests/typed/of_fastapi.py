"""Consumers of the FastAPI adapter, as they are written."""

# No `from __future__ import annotations`, as FastAPI's own documentation writes it.

from typing import Annotated, assert_type

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from starlette.middleware.cors import CORSMiddleware

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward_integrations.fastapi import (
    Caller,
    Invoker,
    InvokerDependency,
    InvokerMiddleware,
    caller,
    end_user,
    end_user_of,
    only,
    principal_of,
    service_accounts,
)

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_members(["user:ann@example.com"]),
)

app = FastAPI()
app.add_middleware(CORSMiddleware, allow_origins=["*"])
Invoker(app, door, in_front=[CORSMiddleware])


@app.get("/orders")
async def orders(who: Caller, user: Annotated[Principal | None, Depends(end_user)]) -> str:
    assert_type(who, Principal)
    return f"Hello, {who} for {user}"


@app.get("/request")
def of_request(request: Request, who: Annotated[Principal, Depends(caller)]) -> str:
    assert_type(principal_of(request), Principal)
    assert_type(end_user_of(request), Principal | None)
    return who.member or ""


@app.get("/reports", dependencies=[Depends(only(service_accounts))])
async def reports(who: Annotated[Principal, Depends(only(members=["domain:example.org"]))]) -> str:
    return str(who)


routed = FastAPI()
invoker = InvokerDependency(door)
invoker.install(routed)
Guarded = Annotated[Principal, Depends(invoker)]
router = APIRouter(dependencies=[Depends(invoker)], responses=invoker.responses)


@router.get("/orders")
async def guarded(who: Guarded) -> str:
    return str(who)


@router.get("/narrowed")
async def narrowed(who: Annotated[Principal, Depends(invoker.only(service_accounts))]) -> str:
    return str(who)


@router.websocket("/live")
async def live(websocket: WebSocket, who: Guarded) -> None:
    await websocket.accept(subprotocol="doorward.bearer")
    await websocket.send_text(str(who))


routed.include_router(router)
by_class = FastAPI()
by_class.add_middleware(InvokerMiddleware, door=door)
