"""Who the page lists, mints for and judges by: what the emulator knows of accounts and groups."""

from __future__ import annotations

from doorward.errors import ConfigurationError
from doorward.policy.documents.bindings import PolicySettings
from doorward.shown import quoted
from doorward_integrations.emulator.accounts import Account, Accounts
from doorward_integrations.emulator.identities.model import Identities

__all__ = ["Known"]


class Known:
    """The known accounts: those that are described, and those of the emulated machine."""

    def __init__(self, identities: Identities, accounts: Accounts) -> None:
        """List accounts.

        Args:
            identities: Who there is.
            accounts: Those that the metadata server has tokens for.
        """
        self._identities = identities
        self._accounts = accounts

    @property
    def project(self) -> str:
        """The id of the project."""
        return self._identities.project

    @property
    def default(self) -> Account:
        """The account that the metadata server speaks for."""
        return self._accounts.default

    def all(self) -> tuple[Account, ...]:
        """Return all of them, each once, the default one first."""
        found: dict[str, Account] = {}
        for one in (self.default, *self._accounts, *self._identities.accounts):
            found.setdefault(one.email.lower(), one)
        return tuple(found.values())

    def find(self, email: str) -> Account:
        """Look an account up.

        Args:
            email: Its address.

        Returns:
            The account. Where none is described, every address is one.

        Raises:
            ConfigurationError: If there is no such account.
        """
        found = self._accounts.find(email) if email != "default" else None
        found = found or self._identities.find(email)
        if found is None:
            Account(email)  # what is no address at all is said to be so
            raise ConfigurationError(f"there is no account {quoted(email)}: the identities do not name it")
        return found

    def settings(self) -> PolicySettings:
        """Return what a policy cannot know by itself: groups, unique ids, and the number of the project."""
        known = self._identities
        settings: PolicySettings = {"project_numbers": {known.project: known.project_number}}
        if known.groups:
            settings["groups"] = known.groups
        if known.unique_ids:
            settings["unique_ids"] = known.unique_ids
        return settings
