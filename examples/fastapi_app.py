"""A FastAPI application behind the door. Run it with: uvicorn fastapi_app:app."""

from typing import Annotated

from fastapi import Depends, FastAPI

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward_integrations.fastapi import Invoker, caller

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)

app = FastAPI()
Invoker(app, door)


@app.get("/")
async def orders(who: Annotated[Principal, Depends(caller)]) -> str:
    return f"Hello, {who}"
