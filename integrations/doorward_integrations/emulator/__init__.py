"""A Google of your own on this machine: ID tokens, their keys and a metadata server, with no network.

::

    with Emulator().serve() as running:
        subprocess.run(["python", "client.py"], env=os.environ | running.environment())

Google's own clients fetch their tokens from it unmodified, and a `doorward.Verifier` in such a process takes
its keys from it. The tokens have the shape of Google's and are signed with keys that only the emulator knows,
so nothing outside believes them. What serves listens on loopback addresses only, and needs the extra
``doorward[emulator]``.

The parts can be used one by one: `EmulatedIssuer` mints tokens without a server, `create_app` makes an ASGI
application for a test client, and `LoopbackServer` serves any ASGI application from a thread.
"""

from __future__ import annotations

from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT, GCLOUD_CLIENT_ID, Account, Accounts
from doorward_integrations.emulator.app import create_app
from doorward_integrations.emulator.certs import CertsEndpoint
from doorward_integrations.emulator.emulator import Emulator, RunningEmulator
from doorward_integrations.emulator.issuer import GOOGLE_ISSUER, EmulatedIssuer
from doorward_integrations.emulator.keys import SigningKey
from doorward_integrations.emulator.metadata import Instance, MetadataServer
from doorward_integrations.emulator.server import LoopbackServer

__all__ = [
    "DEFAULT_ACCOUNT",
    "GCLOUD_CLIENT_ID",
    "GOOGLE_ISSUER",
    "Account",
    "Accounts",
    "CertsEndpoint",
    "EmulatedIssuer",
    "Emulator",
    "Instance",
    "LoopbackServer",
    "MetadataServer",
    "RunningEmulator",
    "SigningKey",
    "create_app",
]
