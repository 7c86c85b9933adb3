"""What Google does for ID tokens, on this machine: an issuer, its keys and a metadata server; no network.

::

    with Emulator().serve() as running:
        subprocess.run(["python", "client.py"], env=os.environ | running.environment())

Google's own clients fetch their tokens from it unmodified, and a `doorward.Verifier` in such a process takes
its keys from it. The tokens have the shape of Google's and are signed with keys that only the emulator knows,
so no other verifier accepts them. What serves listens on loopback addresses only, and needs the extra
``doorward[emulator]``.

The parts can be used one by one: `EmulatedIssuer` mints tokens without a server, `create_app` makes an ASGI
application for a test client, and `LoopbackServer` serves any ASGI application from a thread. Further paths
are served by an `Endpoint`, an object that returns its routes: ``Emulator(endpoints=[endpoint])``.
"""

from __future__ import annotations

from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT, Account, Accounts
from doorward_integrations.emulator.certs import CertsEndpoint
from doorward_integrations.emulator.emulator import Emulator, RunningEmulator, create_app
from doorward_integrations.emulator.endpoint import Endpoint
from doorward_integrations.emulator.identities.file import read_identities
from doorward_integrations.emulator.identities.model import Identities
from doorward_integrations.emulator.instance import Instance
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.keys import RotationSchedule, SigningKey
from doorward_integrations.emulator.metadata.server import MetadataServer
from doorward_integrations.emulator.server import LoopbackServer
from doorward_integrations.emulator.services.source import EmulatedPolicy

__all__ = [
    "DEFAULT_ACCOUNT",
    "Account",
    "Accounts",
    "CertsEndpoint",
    "EmulatedIssuer",
    "EmulatedPolicy",
    "Emulator",
    "Endpoint",
    "Identities",
    "Instance",
    "LoopbackServer",
    "MetadataServer",
    "RotationSchedule",
    "RunningEmulator",
    "SigningKey",
    "create_app",
    "read_identities",
]
