"""Any WSGI application behind the door. Run it with: gunicorn wsgi_app:app."""

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.wsgi import InvokerMiddleware, principal_of

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)


def orders(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"Hello, {principal_of(environ)}".encode()]


app = InvokerMiddleware(orders, door)
