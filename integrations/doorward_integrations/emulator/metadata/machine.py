"""The metadata of the emulated machine, as a tree of directories and as claims of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from doorward_integrations.emulator.accounts import Account, Accounts, numeric_id
from doorward_integrations.emulator.identities.model import Identities
from doorward_integrations.emulator.instance import Instance
from doorward_integrations.emulator.metadata.tree import MINTED, Node

__all__ = ["Machine"]

_UNIVERSE: Final = "googleapis.com"
_INSTANCE_ID_DIGITS: Final = 19


@dataclass(frozen=True, slots=True)
class Machine:
    """What the metadata server has to say: of a Compute Engine machine, or of an instance on Cloud Run.

    Attributes:
        identities: The project.
        accounts: The service accounts of the machine.
        region: Its region, unless a Compute Engine machine says it by its zone.
        instance: The Compute Engine machine; None for an instance on Cloud Run.
    """

    identities: Identities
    accounts: Accounts
    region: str
    instance: Instance | None

    def tree(self) -> Node:
        """Return all directories with what is in them now.

        For an instance on Cloud Run they are those of its container contract
        (https://cloud.google.com/run/docs/container-contract#metadata-server), and for a machine some more of
        https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys.
        """
        attributes: dict[str, Node] = {}
        accounts = {one.email: self._described(one) for one in self.accounts}
        instance: dict[str, Node] = {
            "attributes": attributes,
            "service-accounts": {"default": self._described(self.accounts.default), **accounts},
            **self._instance(),
        }
        return {
            "instance": dict(sorted(instance.items())),
            "project": {
                "attributes": attributes,
                "numeric-project-id": int(self.identities.project_number),
                "project-id": self.identities.project,
            },
            "universe": {"universe-domain": _UNIVERSE},
        }

    def claims(self, *, licenses: bool) -> dict[str, object]:
        """Return the claims of ``format=full``: none if no machine is emulated, as on Cloud Run.

        Args:
            licenses: Whether the licences of its image are among them.
        """
        if self.instance is None:
            return {}
        machine: dict[str, object] = {
            "instance_creation_timestamp": self.instance.created,
            "instance_id": self.instance.id,
            "instance_name": self.instance.name,
            "project_id": self.identities.project,
            "project_number": int(self.identities.project_number),
            "zone": self.instance.zone,
        }
        if licenses:
            machine["license_id"] = list(self.instance.licenses)
        return {"google": {"compute_engine": machine}}

    def _instance(self) -> dict[str, Node]:
        project = f"projects/{self.identities.project_number}"
        if self.instance is None:
            name = f"{self.identities.project}/{self.region}"
            return {
                "id": numeric_id(name, _INSTANCE_ID_DIGITS),
                "region": f"{project}/regions/{self.region}",
                "zone": f"{project}/zones/{self.region}-1",
            }
        zone = self.instance.zone
        return {
            "hostname": f"{self.instance.name}.{zone}.c.{self.identities.project}.internal",
            "id": int(self.instance.id),
            "licenses": [{"id": one} for one in self.instance.licenses],
            "name": self.instance.name,
            "region": f"{project}/regions/{zone.rpartition('-')[0] or self.region}",
            "zone": f"{project}/zones/{zone}",
        }

    def _described(self, account: Account) -> dict[str, Node]:
        return {
            "aliases": ("default",) if account == self.accounts.default else (),
            "email": account.email,
            "identity": MINTED,
            "scopes": account.scopes,
            "token": MINTED,
        }
