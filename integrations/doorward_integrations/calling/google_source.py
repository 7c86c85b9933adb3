"""ID tokens by google-auth, which the extra ``doorward[calling]`` installs."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Final, Protocol, Self, runtime_checkable

from doorward.errors import ConfigurationError
from doorward.extras import needs_extra

__all__ = ["GoogleAuthSource", "IdTokenCredentials"]

_TIMEOUT: Final = 10.0  # seconds of each request; google-auth's own default is 120


@runtime_checkable
class IdTokenCredentials(Protocol):
    """The part of google-auth's ID token credentials that is used; all three of its classes have it."""

    def with_target_audience(self, target_audience: str) -> Self:
        """Return a copy for another audience.

        Args:
            target_audience: Whom its tokens are made for.
        """
        ...


class GoogleAuthSource:
    """Fetches tokens as google-auth does.

    Without credentials: of the service account file that ``GOOGLE_APPLICATION_CREDENTIALS`` names, also one
    of an impersonated account, else of the metadata server, as
    ``google.oauth2.id_token.fetch_id_token_credentials`` finds them (https://google.aip.dev/auth/4110). The
    environment is read again for each token, so that a file may be replaced.
    """

    def __init__(self, credentials: IdTokenCredentials | None = None) -> None:
        """Take the credentials; nothing is fetched yet.

        Args:
            credentials: An ``IDTokenCredentials`` of ``google.oauth2.service_account``,
                ``google.auth.compute_engine`` or ``google.auth.impersonated_credentials``; its own audience
                does not matter.

        Raises:
            ConfigurationError: If google-auth or requests is missing, or the credentials make no ID tokens.
        """
        _require("google.auth")
        _require("requests")
        if credentials is not None and not isinstance(credentials, IdTokenCredentials):
            raise ConfigurationError(
                f"credentials of type {type(credentials).__name__} make no ID tokens: give "
                "IDTokenCredentials of google.oauth2.service_account, google.auth.compute_engine or "
                "google.auth.impersonated_credentials"
            )
        self._credentials: Final = credentials

    def fetch(self, audience: str, /) -> str:
        """Fetch a new token; see `IdTokenSource`.

        Args:
            audience: Whom the token is made for.

        Returns:
            The token.

        Raises:
            google.auth.exceptions.GoogleAuthError: If there is none.
        """
        from doorward_integrations.calling.google_transport import bounded_request  # noqa: PLC0415 - the extra

        with bounded_request(_TIMEOUT) as request:
            credentials: Any = self._credentials
            if credentials is None:
                id_token: Any = importlib.import_module("google.oauth2.id_token")
                credentials = id_token.fetch_id_token_credentials(audience, request=request)
            else:
                credentials = credentials.with_target_audience(audience)
            credentials.refresh(request)
            token: str = credentials.token
        return token


def _require(module: str) -> None:
    with needs_extra("calling"):
        # Not imported before it is used: that takes a while.
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
