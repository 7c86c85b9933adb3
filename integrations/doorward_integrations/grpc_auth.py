"""ID tokens on the calls of a gRPC channel.

::

    service = "https://orders-1234567890.europe-west1.run.app"
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(), id_token_call_credentials(service)
    )
    channel = grpc.aio.secure_channel("orders-1234567890.europe-west1.run.app:443", credentials)

The same credentials serve a channel with threads and one of `grpc.aio`. gRPC sends call credentials over TLS
only, or to this machine with ``grpc.local_channel_credentials()``; it fails a call on an insecure channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from doorward.errors import ConfigurationError
from doorward.extras import needs_extra
from doorward_integrations.calling.errors import IdTokenError
from doorward_integrations.calling.origins import Destinations, Origin, read_origin
from doorward_integrations.calling.source import check_audience
from doorward_integrations.calling.tokens import IdTokens, tokens_of

with needs_extra("grpc"):
    import grpc

__all__ = ["IdTokenPlugin", "id_token_call_credentials"]

_KEYS: Final = ("authorization", "x-serverless-authorization")


class IdTokenPlugin(grpc.AuthMetadataPlugin):
    """Gives gRPC the metadata of each call, without blocking: what is not at hand is handed on later."""

    def __init__(
        self,
        audience: str,
        *,
        origins: str | Iterable[str] = (),
        key: str = "authorization",
        tokens: IdTokens | None = None,
    ) -> None:
        """Say whom the tokens are made for, and where they may be sent.

        Args:
            audience: As for `id_token_call_credentials`.
            origins: As above.
            key: As above.
            tokens: As above.

        Raises:
            ConfigurationError: If a setting cannot work, or what fetches tokens is missing.
        """
        self._audience: Final = check_audience(audience)
        self._destinations: Final = Destinations(
            audience, origins, call='id_token_call_credentials("https://SERVICE-NUMBER.REGION.run.app")'
        )
        if key not in _KEYS:
            raise ConfigurationError(f"key must be one of {' and '.join(_KEYS)}")
        self._key: Final = key
        self._tokens: Final = tokens_of(tokens)

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """Hand over the metadata of a call; called by gRPC.

        Args:
            context: Where the call goes.
            callback: Takes the metadata, or the error with which the call fails.
        """

        def receive(token: str | None, error: IdTokenError | None) -> None:
            callback((), error) if token is None else callback(((self._key, f"Bearer {token}"),), None)

        try:
            self._destinations.audience_for(_origin_of(context.service_url))
        except ConfigurationError as error:
            callback((), error)
        else:
            self._tokens.deliver(self._audience, receive)


def _origin_of(service_url: str) -> Origin:
    # A local channel has no scheme here: `://127.0.0.1:50051/shop.Orders`. gRPC has made sure that it ends on
    # this machine.
    local = service_url.startswith("://")
    origin = read_origin(f"http{service_url}" if local else service_url)
    if origin is None:
        raise ConfigurationError("the target of the channel is no host and port that a token could go to")
    return origin


def id_token_call_credentials(
    audience: str,
    *,
    origins: str | Iterable[str] = (),
    key: str = "authorization",
    tokens: IdTokens | None = None,
) -> grpc.CallCredentials:
    """Make call credentials that send an ID token with each call.

    Args:
        audience: Whom the tokens are made for.
        origins: The targets that get the tokens, as origins: ``https://HOST:PORT`` for a channel over TLS,
            ``http://127.0.0.1:PORT`` for one with ``grpc.local_channel_credentials()``. By default the
            origin of the audience, where that is an ``https`` URL.
        key: ``authorization``; or ``x-serverless-authorization``, for calls that have an ``authorization``
            of their own.
        tokens: The cache; by default that of the process.

    Returns:
        Credentials for ``grpc.composite_channel_credentials``, or for a single call.

    Raises:
        ConfigurationError: If a setting cannot work, or what fetches tokens is missing.
    """
    plugin = IdTokenPlugin(audience, origins=origins, key=key, tokens=tokens)
    return grpc.metadata_call_credentials(plugin, "doorward-id-token")
