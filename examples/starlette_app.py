"""A Starlette application behind the door. Run it with: uvicorn starlette_app:app."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.starlette import Invoker, principal_of

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)


async def orders(request):
    return PlainTextResponse(f"Hello, {principal_of(request)}")


app = Starlette(routes=[Route("/", orders)])
Invoker(app, door)
