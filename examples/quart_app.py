"""A Quart application behind the door. Run it with: hypercorn quart_app:app."""

from quart import Quart, request

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.asgi import InvokerMiddleware, principal_of

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)

app = Quart(__name__)
app.asgi_app = InvokerMiddleware(app.asgi_app, door)


@app.get("/")
async def orders():
    return f"Hello, {principal_of(request.scope)}"
