"""The IAM of services as one part of the emulator: the policies, their methods, and the doors that follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Unpack

from starlette.routing import BaseRoute

from doorward.policy.documents.bindings import PolicySettings
from doorward_integrations.emulator.services.following import Followers
from doorward_integrations.emulator.services.methods import AccountOf, IamMethods, policy_answer
from doorward_integrations.emulator.services.names import service_name
from doorward_integrations.emulator.services.source import ServicePolicy
from doorward_integrations.emulator.services.store import DEFAULT_MASK, PolicyStore, StoredPolicy
from doorward_integrations.emulator.state_file import StateFile

__all__ = ["ServicePolicies"]


class ServicePolicies:
    """The IAM policies of all services of the emulated projects; every name is one of a service that exists.

    Attributes:
        followers: The doors of other processes that follow a policy.
    """

    followers: Final[Followers]

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        file: StateFile | None = None,
        account_of: AccountOf | None = None,
    ) -> None:
        """Make the policies, each of them empty.

        Args:
            clock: Returns the time in seconds since the epoch, for etags.
            file: Where the policies are kept; None to keep them in memory only.
            account_of: Resolves access tokens, for ``testIamPermissions``.

        Raises:
            ConfigurationError: If the file cannot be read, or holds anything else.
        """
        self._store: Final = PolicyStore(clock, file)
        self.followers = Followers(self._store)
        self._methods: Final = IamMethods(self._store, set_policy=self._set, account_of=account_of)

    def __repr__(self) -> str:
        """Show the services whose policy was set."""
        return f"ServicePolicies({self.names()!r})"

    def names(self) -> list[str]:
        """Return the services whose policy was set, sorted."""
        return self._store.names()

    def policy(self, service: str, **settings: Unpack[PolicySettings]) -> ServicePolicy:
        """Return the policy of a service as a source for a door in this process.

        Args:
            service: The name of the service, ``projects/PROJECT/locations/LOCATION/services/SERVICE``, or of
                a function.
            **settings: For `InvokerPolicy.from_dict`. A group whose members are not given is undecided (503).

        Returns:
            The source: a change decides the next request.

        Raises:
            ConfigurationError: If it is no such name, or a setting is not usable.
        """
        return ServicePolicy(self._store, service, settings)

    def get(self, service: str) -> dict[str, Any]:
        """Return the policy of a service, as ``getIamPolicy`` does in version 3.

        Args:
            service: The name of the service, or of a function.

        Returns:
            The policy, with its etag: a copy.

        Raises:
            ConfigurationError: If it is no such name.
        """
        return policy_answer(self._store.get(service_name(service)))

    def set(
        self, service: str, policy: Mapping[str, Any], mask: Collection[str] = DEFAULT_MASK
    ) -> dict[str, Any]:
        """Replace the policy of a service, as ``setIamPolicy`` does, and wait for the doors that follow it.

        Args:
            service: The name of the service, or of a function.
            policy: The policy. If it has an etag, that must be the one of the policy that is in force.
            mask: Which members of the policy are replaced: ``bindings``, ``auditConfigs``.

        Returns:
            The policy that is in force now: a copy.

        Raises:
            ConfigurationError: If the name is no such name.
            GoogleError: If IAM would refuse the policy, if another one was set in the meantime, or if it
                could not be kept. Then the policy before is in force.
        """
        return policy_answer(self._set(service_name(service), policy, mask))

    def _set(self, service: str, policy: object, mask: Collection[str]) -> StoredPolicy:
        stored = self._store.set(service, policy, mask)
        self.followers.settle(service, stored.number)
        return stored

    def routes(self) -> list[BaseRoute]:
        """Return the routes: the methods, and the one for the doors that follow.

        Returns:
            Routes for a Starlette application.
        """
        return [*self._methods.routes(), *self.followers.routes()]
