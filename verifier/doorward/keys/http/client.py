"""The httpx client of one request: its certificates, its proxy, and how it connects.

This is the only module that imports httpx, or httpx2 where httpx is not installed. Whatever they raise for a
setting of the environment becomes a `FetchError` that names the variable.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from doorward.errors import ConfigurationError, FetchError
from doorward.keys.http.connecting import AddressSharing
from doorward.keys.http.proxies import choose_proxy
from doorward.shown import token_safe

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["ClientSettings", "httpx_of"]

_log: Final = logging.getLogger("doorward.keys")

_BUNDLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Who names the certificate authorities: the variables of OpenSSL, then those that google-auth obeys."""
_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


def httpx_of(transport: httpx.BaseTransport | None) -> Any:  # noqa: ANN401 - a module
    """Return the module that makes the client: httpx2 for a transport of its own, or where httpx is missing.

    Args:
        transport: The transport that the client is to use; None for one of the module.
    """
    kinds = type(transport).__mro__ if transport is not None else ()
    if not any(kind.__module__.partition(".")[0] == "httpx2" for kind in kinds):
        try:
            import httpx  # noqa: PLC0415 - as slow to import as all of doorward, and not needed before the first request
        except ImportError:
            pass
        else:
            return httpx
    import importlib  # noqa: PLC0415 - as above

    return importlib.import_module("httpx2")


class ClientSettings:
    """Makes the client of a request.

    No connection is kept: hours pass between two requests. The TLS context is kept, since making one takes as
    long as all the rest.
    """

    def __init__(
        self,
        *,
        transport: Callable[[], httpx.BaseTransport] | None,
        proxy: str | None,
        verify: str | os.PathLike[str] | None,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """Take settings of `HttpxFetch`, which describes them.

        Raises:
            ConfigurationError: If one cannot work.
        """
        self._transport: Final = transport
        self._proxy: Final = proxy
        self._context = _given_context(verify, ssl_context)
        self._warned: set[str] = set()
        if proxy:
            _check_proxy(proxy, "proxy=", ConfigurationError)

    def client(self, url: str, deadline: float) -> tuple[Any, httpx.Client, httpx.BaseTransport]:
        """Make a client for one request.

        Args:
            url: The absolute URL of the request.
            deadline: Seconds for each step of it.

        Returns:
            The module httpx or httpx2; the client, which is to be closed; and the transport, which sends a
            request without logging its URL, as the client would.

        Raises:
            FetchError: With stage ``setup``, if a setting of the environment cannot be used.
        """
        secure = urlsplit(url).scheme == "https"  # urlsplit lowers the case of the scheme
        # A proxy is for https; http is for this machine only.
        proxy, variable = self._proxy_for(url) if secure else (None, "")
        transport = self._transport() if self._transport and proxy is None else None
        httpx = httpx_of(transport)
        if transport is None:
            context = self._context_for(httpx) if secure else False
            try:
                transport = httpx.HTTPTransport(verify=context, proxy=proxy, trust_env=False)
            except (ImportError, ValueError, TypeError, httpx.InvalidURL) as error:
                raise FetchError(
                    "setup", f"the proxy that {variable} names cannot be used: {error}"
                ) from error
            _share_addresses(transport)
        made = httpx.Client(transport=transport, timeout=deadline, follow_redirects=False, trust_env=False)
        return httpx, made, transport

    def _proxy_for(self, url: str) -> tuple[str | None, str]:
        if self._proxy is not None:
            return self._proxy or None, "proxy="
        from urllib.request import getproxies  # noqa: PLC0415 - slow to import

        try:
            chosen = choose_proxy(url, getproxies())
        except ValueError as error:
            raise FetchError("setup", f"the proxy variables cannot be read: {error}") from error
        for entry in chosen.unreadable:
            if entry not in self._warned:
                self._warned.add(entry)
                _log.warning("the entry %r of NO_PROXY cannot be read and is skipped", entry)
        if chosen.url is not None:
            _check_proxy(chosen.url, chosen.variable, lambda message: FetchError("setup", message))
        return chosen.url, chosen.variable

    def _context_for(self, httpx: Any) -> ssl.SSLContext:  # noqa: ANN401 - a module
        if self._context is None:
            variable = next((name for name in _BUNDLES if os.environ.get(name)), None)
            if variable is None:
                made: ssl.SSLContext = httpx.create_ssl_context(trust_env=False)
                self._context = made
            else:
                self._context = _load(
                    os.environ[variable], variable, lambda message: FetchError("setup", message)
                )
        return self._context


def _given_context(
    verify: str | os.PathLike[str] | None, ssl_context: ssl.SSLContext | None
) -> ssl.SSLContext | None:
    if ssl_context is None:
        if verify is None:
            return None
        if not isinstance(verify, str | os.PathLike):
            raise ConfigurationError(
                "verify= must be the path of a file or a folder with certificates of authorities: keys that "
                "come over a connection without verification could be anyone's"
            )
        return _load(os.fspath(verify), "verify=", ConfigurationError)
    if verify is not None:
        raise ConfigurationError("give verify= or ssl_context=, not both")
    import ssl  # noqa: PLC0415 - slow to import

    if ssl_context.verify_mode is not ssl.CERT_REQUIRED or not ssl_context.check_hostname:
        raise ConfigurationError(
            "ssl_context= must verify the certificate and the name of the key endpoint: set verify_mode to "
            "ssl.CERT_REQUIRED and check_hostname to True"
        )
    return ssl_context


def _load(path: str, named_by: str, make_error: Callable[[str], Exception]) -> ssl.SSLContext:
    """Make a context that trusts the authorities in a file or a folder."""
    import ssl  # noqa: PLC0415 - as above

    folder = os.path.isdir(path)  # noqa: PTH112 - pathlib is slow to import
    try:
        return ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise make_error(
            f"{named_by} names {path!r}, from which no certificates can be read ({error}): name a file or a "
            "folder of certificates in PEM form"
        ) from error


def _check_proxy(proxy: str, named_by: str, make_error: Callable[[str], Exception]) -> None:
    """Refuse a proxy that httpx cannot use. Its URL may hold a password, and is not repeated."""
    try:
        parts = urlsplit(proxy)
        usable, _ = bool(parts.hostname), parts.port
        scheme = parts.scheme
    except ValueError:
        usable, scheme = False, ""
    if not usable or scheme not in _PROXY_SCHEMES:
        which = f" of the scheme {token_safe(scheme)}" if scheme else " that cannot be read"
        raise make_error(f"{named_by} names a proxy{which}: write http://HOST:PORT or https://HOST:PORT")


def _share_addresses(transport: Any) -> None:  # noqa: ANN401 - of httpx or httpx2
    """Connect to each address of a host in turn. The settings of httpx have no place for that."""
    pool: Any = getattr(transport, "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if backend is not None:  # else a later httpx connects as it does by itself
        pool._network_backend = AddressSharing(backend)  # noqa: SLF001 - see above
