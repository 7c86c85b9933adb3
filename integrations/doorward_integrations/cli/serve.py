"""``doorward emulator``: the emulator on a port of this machine, until it is interrupted."""

from __future__ import annotations

import threading
from typing import TextIO

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator

__all__ = ["serve_emulator"]


def serve_emulator(port: int, account: str | None, out: TextIO, stop: threading.Event | None = None) -> int:
    """Serve the emulator, and say how to be led there.

    Args:
        port: The loopback port; 0 takes a free one.
        account: The service account that the metadata server speaks for; None for the emulator's own.
        out: Where to say so.
        stop: Ends it when set; None serves until the process is interrupted.

    Returns:
        The exit status, 0.

    Raises:
        ConfigurationError: If the port is taken, or the account is not a service account.
    """
    emulator = Emulator(account=account or DEFAULT_ACCOUNT)
    with emulator.serve(port=port) as running:
        print(
            f"Issuing ID tokens for {emulator.accounts.default.email} at {running.url}. Start clients and",
            file=out,
        )
        print("services with these variables; Ctrl-C ends it.\n", file=out)
        for name, value in running.environment().items():
            print(f"export {name}={value}", file=out, flush=True)
        (stop or threading.Event()).wait()
    return 0
