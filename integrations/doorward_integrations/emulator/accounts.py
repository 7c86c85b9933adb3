"""The principals of emulated tokens: service accounts and users, each derived from its address alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from doorward.errors import ConfigurationError
from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward.issuers.service_accounts import SERVICE_ACCOUNT_DOMAIN, fold, is_service_account

__all__ = ["CLOUD_PLATFORM", "DEFAULT_ACCOUNT", "Account", "Accounts", "numeric_id"]

CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"
"""The scope that covers every API, which machines and services have by default."""

DEFAULT_ACCOUNT: Final = "caller@doorward-demo.iam.gserviceaccount.com"
"""The service account that the emulated machine runs as, unless another is chosen."""

_AT_HASH_BYTES: Final = 16


def numeric_id(name: str, digits: int) -> str:
    """Derive a number from a name: the same in every run and on every machine.

    Args:
        name: An address or another name; its case does not matter.
        digits: How many decimal digits the number has.

    Returns:
        The number in decimal digits, the first a 1, as the unique ids of Google accounts begin.
    """
    span = 10 ** (digits - 1)
    digest = hashlib.sha256(name.lower().encode()).digest()
    return str(span + int.from_bytes(digest) % span)


@dataclass(frozen=True, slots=True)
class Account:
    """One emulated Google account.

    Attributes:
        email: Its address. One that ends in ``.gserviceaccount.com`` is a service account's, any other is a
            user's.
        unique_id: Its numeric unique id; None for one that follows from the address.
        hosted_domain: The hosted domain that a user belongs to, the claim ``hd``; None for none.
        scopes: The scopes that a machine which runs as the account gets access tokens for.
    """

    email: str
    unique_id: str | None = None
    hosted_domain: str | None = None
    scopes: tuple[str, ...] = (CLOUD_PLATFORM,)

    def __post_init__(self) -> None:
        """Refuse a value that is no address.

        Raises:
            ConfigurationError: If it is not ``NAME@DOMAIN`` in printable ASCII without spaces or slashes.
        """
        name, at, domain = self.email.partition("@")
        plain = self.email.isascii() and self.email.isprintable() and not set(" /?#") & set(self.email)
        if not (name and at and domain and plain) or "@" in domain:
            raise ConfigurationError(
                f"{self.email!r} is no e-mail address: write an account as NAME@DOMAIN, such as "
                f"{DEFAULT_ACCOUNT}"
            )

    @property
    def is_service_account(self) -> bool:
        """Whether it is a service account, by the end of its whole domain."""
        return is_service_account(fold(self.email))

    @property
    def subject(self) -> str:
        """Its numeric unique id: 21 digits that follow from the address alone, unless one was given."""
        return numeric_id(self.email, 21) if self.unique_id is None else self.unique_id

    def claims(self, subject: str | None = None) -> dict[str, object]:
        """Return the claims that identify the account.

        The ``azp`` of a service account is its unique id. The ``azp`` of a user is the OAuth client that
        asked for the token, here gcloud, and the token holds ``at_hash`` too
        (https://developers.google.com/identity/openid-connect/reference).

        Args:
            subject: The unique id to claim instead of the derived one.

        Returns:
            The claims azp, email, email_verified and sub; for a user at_hash too, and ``hd`` if a hosted
            domain was given: an address does not show whether its domain is a hosted one.
        """
        subject = self.subject if subject is None else subject
        claims: dict[str, object] = {
            "azp": subject if self.is_service_account else GCLOUD_CLIENT_ID,
            "email": self.email,
            "email_verified": True,
            "sub": subject,
        }
        if not self.is_service_account:
            half = hashlib.sha256(self.email.encode()).digest()[:_AT_HASH_BYTES]
            claims["at_hash"] = base64.urlsafe_b64encode(half).rstrip(b"=").decode("ascii")
            if self.hosted_domain is not None:
                claims["hd"] = self.hosted_domain
        return claims


class Accounts:
    """The service accounts of the emulated machine, one of them the default; safe to use from threads."""

    def __init__(
        self,
        default: str = DEFAULT_ACCOUNT,
        others: Iterable[str] = (),
        *,
        find: Callable[[str], Account | None] = lambda _: None,
    ) -> None:
        """Attach service accounts.

        Args:
            default: The address that ``default`` means at the metadata server.
            others: Further addresses that may be asked for by name.
            find: Returns what is known of an account beside its address; None if that is nothing.

        Raises:
            ConfigurationError: If one is not the address of a service account.
        """
        self._find = find
        self._listeners: list[Callable[[], None]] = []
        self._accounts: dict[str, Account] = {}
        for email in others:
            self.add(email)
        self._default = self.add(default)

    def __repr__(self) -> str:
        """Show the addresses, the default one first."""
        default = self.default.email
        others = [account.email for account in self if account.email != default]
        return f"Accounts({default!r}, {others!r})"

    def __iter__(self) -> Iterator[Account]:
        """Iterate over the accounts in the order in which they were attached."""
        return iter(tuple(self._accounts.values()))

    @property
    def default(self) -> Account:
        """The account that ``default`` means now."""
        return self._default

    def add(self, email: str) -> Account:
        """Attach a service account; one that is there already stays as it is.

        Args:
            email: Its address.

        Returns:
            The account.

        Raises:
            ConfigurationError: If it is not the address of a service account: a machine runs as no user.
        """
        account = self._find(email) or Account(email)
        if not account.is_service_account:
            raise ConfigurationError(
                f"{email!r} is a user's address: the metadata server has tokens for service accounts only, "
                f"whose addresses end in {SERVICE_ACCOUNT_DOMAIN}. EmulatedIssuer.mint makes a user's token"
            )
        kept = self._accounts.setdefault(email.lower(), account)  # in one step: this needs no lock
        self._changed()
        return kept

    def use(self, email: str) -> Account:
        """Make an account the default from now on, and attach it if it is not attached yet.

        Args:
            email: Its address.

        Returns:
            The account.

        Raises:
            ConfigurationError: If it is not the address of a service account.
        """
        self._default = self.add(email)
        self._changed()
        return self._default

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a function called after each change, in the thread that changes.

        Args:
            listener: The function. It must return at once, and not fail.
        """
        self._listeners.append(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def find(self, name: str) -> Account | None:
        """Look an account up as the metadata server does.

        Args:
            name: ``default`` or an address, in any case.

        Returns:
            The account; None if no such account is attached.
        """
        return self._default if name == "default" else self._accounts.get(name.lower())
