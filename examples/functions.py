"""Functions behind the door. Run one with: functions-framework --source functions.py --target orders."""

import functions_framework

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.functions_framework import current_principal, guard_functions

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)
guard_functions(door)


@functions_framework.http
def orders(request):
    return f"Hello, {current_principal()}"


@functions_framework.cloud_event
def on_order(event):
    print(f"{current_principal()} sent {event['id']}")
