"""doorward, as a dependency."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI

from doorward import Principal
from doorward_integrations.fastapi import InvokerDependency
from peers.http_door import door
from peers.settings import BODY

app = FastAPI()
invoker = InvokerDependency(door())
invoker.install(app)


@app.get("/")
async def orders(_caller: Annotated[Principal, Depends(invoker)]) -> dict[str, str]:
    return BODY
