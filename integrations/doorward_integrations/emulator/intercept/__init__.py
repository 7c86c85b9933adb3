"""Clients whose addresses are fixed: a proxy on this machine answers for Google's hosts, for one process.

::

    with Emulator().serve() as running, Intercept(running) as intercept:
        environ = os.environ | running.environment() | intercept.environment()
        subprocess.run(["python", "client.py"], env=environ)

Some of Google's clients ask ``https://oauth2.googleapis.com`` and others whatever their settings say. They do
use the proxy and the certificates that their environment names. This proxy answers with the emulator for the
hosts in `GOOGLE_HOSTS`, under a certificate of an authority that lives for a day and for this one purpose,
and refuses every other host. No trust store is touched: a process that was not given the variables notices
nothing.
"""

from __future__ import annotations

from doorward_integrations.emulator.intercept.authority import Authority
from doorward_integrations.emulator.intercept.hosts import GOOGLE_HOSTS, is_google_host
from doorward_integrations.emulator.intercept.intercept import Intercept
from doorward_integrations.emulator.intercept.proxy import InterceptingProxy

__all__ = ["GOOGLE_HOSTS", "Authority", "Intercept", "InterceptingProxy", "is_google_host"]
