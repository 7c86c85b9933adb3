"""What the address of a service account tells of it, and what a token tells of the machine it runs on.

An address tells by its shape only: it grants nothing. Its shapes are those of
https://cloud.google.com/iam/docs/service-account-types and https://cloud.google.com/iam/docs/service-agents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

__all__ = ["SERVICE_ACCOUNT_DOMAIN", "ComputeEngine", "is_service_agent", "project_of", "read_compute_engine"]

SERVICE_ACCOUNT_DOMAIN: Final = ".gserviceaccount.com"
"""The end of the address of every service account, after the only ``@``."""

# Agents whose domain does not begin with "gcp-sa-". An agent that is missing here counts as any other service
# account.
_AGENT_DOMAINS: Final = (
    "cloud-filer",
    r"cloud-ml\.google\.com",
    "cloud-redis",
    "cloud-tpu",
    "cloudcomposer-accounts",
    "compute-system",
    "container-analysis",
    "container-engine-robot",
    "containerregistry",
    "dataflow-service-producer-prod",
    "dataproc-accounts",
    "dlp-api",
    "endpoints-portal",
    "firebase-rules",
    "gcf-admin-robot",
    "serverless-robot-prod",
    "service-networking",
    "sourcerepo-service-accounts",
)
_AGENT: Final = (
    # For a project, a folder or an organization; Access Approval has a spelling of its own for the three.
    rf"service-(?:[pfo]|folder-|org-)?[0-9]+@(?:gcp-sa-[a-z0-9-]+|{'|'.join(_AGENT_DOMAINS)})"
    r"\.iam\.gserviceaccount\.com"
    r"|project-[0-9]+@storage-transfer-service\.iam\.gserviceaccount\.com"
    r"|[0-9]+@cloudservices\.gserviceaccount\.com"
)
_AGENT_STARTS: Final = frozenset("sp0123456789")
_OF_PROJECT: Final = r"[a-z0-9-]+@([a-z][a-z0-9-]*)\.iam\.gserviceaccount\.com"
_APP_ENGINE: Final = r"([a-z][a-z0-9-]*)@appspot\.gserviceaccount\.com"


def is_service_agent(email: str) -> bool:
    """Tell whether an address has the shape of one of Google's own service agents.

    Args:
        email: The address of a service account, in lower case.
    """
    # Almost every address is told apart by its first character, without the pattern.
    return email[:1] in _AGENT_STARTS and re.fullmatch(_AGENT, email) is not None


def project_of(email: str) -> str | None:
    """Tell in which project a service account was made.

    Args:
        email: The address of a service account, in lower case.

    Returns:
        The id of the project; None where the address does not tell: the default account of Compute Engine
        names the project's number, service agents live in projects of Google's.
    """
    if is_service_agent(email):
        return None
    found = re.fullmatch(_OF_PROJECT, email) or re.fullmatch(_APP_ENGINE, email)
    return None if found is None else found[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeEngine:
    """The virtual machine that a token was made on, as ``format=full`` has it.

    See https://cloud.google.com/compute/docs/instances/verifying-instance-identity#payload.

    Attributes:
        project_id: The project of the machine.
        project_number: Its number.
        zone: The zone of the machine.
        instance_id: Its unique id.
        instance_name: Its name.
        instance_creation_timestamp: When it was made, in seconds since the epoch.
        instance_confidentiality: 1 for a confidential machine; None where the token does not say.
        license_ids: The licences of its images; empty unless the token was asked for with them.
    """

    project_id: str
    project_number: int
    zone: str
    instance_id: str
    instance_name: str
    instance_creation_timestamp: int
    instance_confidentiality: int | None = None
    license_ids: tuple[str, ...] = ()


def read_compute_engine(claims: Mapping[str, object]) -> ComputeEngine | None:
    """Read the claim ``google.compute_engine``.

    Args:
        claims: Verified claims, of one of Google's own tokens.

    Returns:
        The machine; None if the claim is not there, or not whole and of the types that Google gives it.
    """
    google = claims.get("google")
    machine = google.get("compute_engine") if isinstance(google, Mapping) else None
    if not isinstance(machine, Mapping):
        return None
    texts = [machine.get(name) for name in ("project_id", "zone", "instance_id", "instance_name")]
    numbers = [machine.get(name) for name in ("project_number", "instance_creation_timestamp")]
    confidential, licenses = machine.get("instance_confidentiality"), machine.get("license_id", ())
    # The exact types: true is an int to isinstance, and no number to Google.
    good = (
        all(type(text) is str for text in texts)
        and all(type(number) is int for number in numbers)
        and (confidential is None or type(confidential) is int)
        and type(licenses) is tuple
        and all(type(one) is str for one in licenses)
    )
    if not good:
        return None
    project_id, zone, instance_id, instance_name = cast("list[str]", texts)
    project_number, created = cast("list[int]", numbers)
    return ComputeEngine(
        project_id=project_id,
        project_number=project_number,
        zone=zone,
        instance_id=instance_id,
        instance_name=instance_name,
        instance_creation_timestamp=created,
        instance_confidentiality=cast("int | None", confidential),
        license_ids=cast("tuple[str, ...]", licenses),
    )
