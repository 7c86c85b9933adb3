"""What a policy file holds: one policy, or those that a project inherits.

``gcloud projects get-ancestors-iam-policy`` prints the latter as a list. With ``--include-deny`` the deny
policies stand between the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from doorward.errors import PolicyError
from doorward.policy.documents.bindings import BindingReader, PolicySettings
from doorward.policy.documents.document import read_document
from doorward.policy.documents.loaded import LoadedPolicy, join_policies, with_denials
from doorward.policy.documents.remarks import log_remarks
from doorward.shown import first_quoted, shortened

if TYPE_CHECKING:  # most lists have no deny policies
    from doorward.policy.deny.policy import DenyPolicy

__all__ = ["read_policy"]

_MEMBERS: Final = frozenset({"id", "policy", "type"})
_OF_DENY_POLICY: Final = frozenset({"rules", "displayName", "uid"})


def read_policy(
    parsed: Mapping[str, object] | Sequence[object], settings: PolicySettings, source: str = ""
) -> LoadedPolicy:
    """Read a policy document, or the list of those that a project inherits.

    Args:
        parsed: One policy object (https://cloud.google.com/iam/docs/reference/rest/v1/Policy), or a list
            whose entries have a ``policy``, and an ``id`` and a ``type`` that name its resource. It is
            copied.
        settings: See `PolicySettings`.
        source: What explanations write before the position of a binding.

    Returns:
        The policy; of a list the one that grants what any of them grants, and denies what any of them denies.

    Raises:
        PolicyError: If it is neither, or holds a binding that is not understood.
    """
    reader = BindingReader(settings)
    if isinstance(parsed, Mapping):
        loaded = read_document(parsed, reader, source)
    else:
        loaded = _read_ancestors(parsed, reader, source)
    remarks = reader.remarks.sentences(loaded.index, roles=reader.count, source=source)
    log_remarks(remarks)
    return replace(loaded, remarks=(*loaded.remarks, *remarks))


def _read_ancestors(entries: Sequence[object], reader: BindingReader, source: str) -> LoadedPolicy:
    if not isinstance(entries, list | tuple) or not entries:
        raise PolicyError("not a policy: it is neither an object nor a list of policies")
    policies: list[LoadedPolicy] = []
    denying: list[tuple[str, DenyPolicy]] = []
    for number, entry in enumerate(entries):
        policy, resource = _read_entry(entry, number)
        try:
            if policy.keys() & _OF_DENY_POLICY:
                from doorward.policy.deny.policy import DenyPolicy  # noqa: PLC0415 - as above

                denying.append((resource, DenyPolicy.from_dict(policy)))
            else:
                policies.append(read_document(policy, reader, f"{source}{resource} "))
        except PolicyError as error:
            raise PolicyError(f"{resource}: {error}") from error
    if not policies:
        raise PolicyError("not a policy: the list has deny policies only, which grant nothing")
    joined = join_policies(policies)
    for resource, deny_policy in denying:
        try:
            joined = with_denials(joined, [deny_policy])
        except PolicyError as error:
            raise PolicyError(f"{resource}: {error}") from error
    return joined


def _read_entry(entry: object, number: int) -> tuple[Mapping[str, object], str]:
    """Return the policy of one entry, and how its resource is shown."""
    policy = entry.get("policy") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(policy, Mapping):
        raise PolicyError(
            f"not a policy: entry {number} of the list has no 'policy', as those have that "
            "'gcloud projects get-ancestors-iam-policy' prints; one policy is an object: print it without "
            "--flatten"
        )
    if unknown := entry.keys() - _MEMBERS:
        raise PolicyError(f"entry {number} of the list: unknown member {first_quoted(unknown)}")
    named = [str(entry[part]) for part in ("type", "id") if isinstance(entry.get(part), str)]
    return policy, shortened(" ".join(named) or f"policies[{number}]")
