"""A Flask application behind the door. Run it with: gunicorn flask_app:app."""

from flask import Flask

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.flask import Invoker, current_principal

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)

app = Flask(__name__)
Invoker(app, door)


@app.get("/")
def orders():
    return f"Hello, {current_principal}"
