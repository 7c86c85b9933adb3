"""Calling out: ID tokens for the services that this one calls, fetched once and cached.

`IdTokens` caches one token for each audience, for all threads and event loops of a process. Its source is
google-auth (`GoogleAuthSource`), the emulator (`EmulatorSource`), or any object with a method ``fetch``. What
puts the tokens on requests stands in ``doorward_integrations.httpx_auth`` and
``doorward_integrations.grpc_auth``.
"""

from __future__ import annotations

from doorward_integrations.calling.emulator_source import EmulatorSource
from doorward_integrations.calling.errors import IdTokenError
from doorward_integrations.calling.google_source import GoogleAuthSource
from doorward_integrations.calling.source import IdTokenSource
from doorward_integrations.calling.tokens import IdTokens, IdTokensHealth, shared_tokens

__all__ = [
    "EmulatorSource",
    "GoogleAuthSource",
    "IdTokenError",
    "IdTokenSource",
    "IdTokens",
    "IdTokensHealth",
    "shared_tokens",
]
