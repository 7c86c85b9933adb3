"""An aiohttp server behind the door. Run it with: python aiohttp_app.py."""

import os

from aiohttp import web

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.aiohttp import Invoker, principal_of

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)


async def orders(request):
    return web.Response(text=f"Hello, {principal_of(request)}")


app = web.Application()
app.router.add_get("/", orders)
Invoker(app, door)

if __name__ == "__main__":
    web.run_app(app, port=int(os.environ.get("PORT", "8080")))
