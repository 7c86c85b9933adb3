"""Asynchronous functions behind the door.

Run one with: functions-framework --source functions_async.py --target orders.
"""

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.functions_framework import (
    current_principal,
    guarded_cloud_event,
    guarded_http,
    principal_of,
)

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)


@guarded_http(door)
async def orders(request):
    return f"Hello, {principal_of(request)}"


@guarded_cloud_event(door)
async def on_order(event):
    print(f"{current_principal()} sent {event['id']}")
