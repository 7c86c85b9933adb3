"""A Litestar application behind the door. Run it with: uvicorn litestar_app:app."""

from litestar import Litestar, Request, get

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.asgi import InvokerMiddleware, principal_of

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)


@get("/")
async def orders(request: Request) -> str:
    return f"Hello, {principal_of(request)}"


app = InvokerMiddleware(Litestar([orders]), door)
