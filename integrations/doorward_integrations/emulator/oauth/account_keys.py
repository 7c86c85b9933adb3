"""The key files of service accounts.

Of a key that is in a key file, only the public half is kept, as Google does.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children
from doorward.issuers.service_accounts import fold
from doorward.shown import quoted
from doorward_integrations.emulator.identities.model import Identities
from doorward_integrations.emulator.keys.public_key import PublicKey

__all__ = ["ACCOUNTS_WITH_KEYS", "KEYS_OF_AN_ACCOUNT", "AccountKeys"]

KEYS_OF_AN_ACCOUNT: Final = 10
"""How many key files of one account work at once, as at Google; of more, the oldest stop working."""

ACCOUNTS_WITH_KEYS: Final = 1_000
"""How many accounts have keys at most."""

_EXPONENT: Final = 65_537
_BITS: Final = 2_048


def _new_private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(_EXPONENT, _BITS)


class AccountKeys:
    """Makes key files of service accounts, and knows which keys are whose. Safe to use from threads.

    All of it is in memory: a key file works as long as the emulator that made it runs.
    """

    def __init__(
        self,
        identities: Identities,
        *,
        clock: Callable[[], float] = time.time,
        make_private_key: Callable[[], rsa.RSAPrivateKey] = _new_private_key,
    ) -> None:
        """Begin without a key.

        Args:
            identities: Which accounts there are.
            clock: Returns the time in seconds since the epoch.
            make_private_key: Makes an RSA key of 2048 bits or more; a new one by default.
        """
        self._identities: Final = identities
        self._clock: Final = clock
        self._make_private_key: Final = make_private_key
        self._in_files: dict[str, OrderedDict[str, PublicKey]] = {}
        self._renew_lock()
        renew_in_children(self, AccountKeys._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show how many accounts have key files."""
        return f"AccountKeys(of {len(self._in_files)} accounts)"

    def make_file(self, email: str, url: str) -> dict[str, str]:
        """Make a key of an account, and the content of its key file.

        Args:
            email: The address of a service account.
            url: The URL of the emulator, without a slash at its end: ``http://HOST:PORT``.

        Returns:
            The members of the file, as the console of Google Cloud gives them, with a ``token_uri`` at the
            emulator. ``json.dumps`` makes the file of it. It holds the private key, which is kept nowhere
            else.

        Raises:
            ConfigurationError: If it is none of the service accounts, or too many accounts have keys.
        """
        account = self._identities.find(email)
        if account is None or not account.is_service_account:
            raise ConfigurationError(f"{quoted(email)} is none of the service accounts")
        private = self._make_private_key()  # before the lock is taken: it takes a while
        public = PublicKey.of(private, self._clock)
        with self._lock:
            name = fold(account.email)
            if name not in self._in_files and len(self._in_files) >= ACCOUNTS_WITH_KEYS:
                raise ConfigurationError(f"{ACCOUNTS_WITH_KEYS} accounts have keys already, and no more may")
            keys = self._in_files.setdefault(name, OrderedDict())
            keys[public.kid] = public
            while len(keys) > KEYS_OF_AN_ACCOUNT:
                keys.popitem(last=False)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "type": "service_account",
            "project_id": self._identities.project,
            "private_key_id": public.kid,
            "private_key": pem.decode("ascii"),
            "client_email": account.email,
            "client_id": account.subject,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": f"{url}/token",
            "auth_provider_x509_cert_url": f"{url}/oauth2/v1/certs",
            "client_x509_cert_url": f"{url}/robot/v1/metadata/x509/{quote(account.email, safe='')}",
            "universe_domain": "googleapis.com",
        }

    def of(self, email: str) -> tuple[PublicKey, ...]:
        """Return the keys of an account that are in key files, the oldest first.

        Args:
            email: The address of the account.
        """
        with self._lock:
            return tuple(self._in_files.get(fold(email), {}).values())
