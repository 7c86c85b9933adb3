"""The virtual machine that a token was made on, as the claim ``google.compute_engine`` describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

__all__ = ["ComputeEngine", "read_compute_engine"]


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
