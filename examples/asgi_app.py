"""Any ASGI application behind the door. Run it with: uvicorn asgi_app:app."""

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.asgi import InvokerMiddleware, principal_of

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)


async def orders(scope, receive, send):
    body = f"Hello, {principal_of(scope)}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


app = InvokerMiddleware(orders, door)
