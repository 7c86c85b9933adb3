"""The policies that a project inherits, as ``gcloud projects get-ancestors-iam-policy`` prints them: a list.

With ``--include-deny`` the deny policies stand between the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from doorward.errors import PolicyError
from doorward.policy.bindings import BindingReader
from doorward.policy.clipped import clip, first_shown
from doorward.policy.documents import read_one
from doorward.policy.loaded import LoadedPolicy, join_policies, with_denials

if TYPE_CHECKING:  # most lists have no deny policies
    from doorward.policy.deny.policy import DenyPolicy

__all__ = ["read_ancestors"]

_MEMBERS: Final = frozenset({"id", "policy", "type"})
_OF_DENY_POLICY: Final = frozenset({"rules", "displayName", "uid"})


def read_ancestors(entries: Sequence[object], reader: BindingReader, source: str) -> LoadedPolicy:
    """Read the policies that a project inherits, and join them.

    Args:
        entries: The list; each entry has a ``policy``, and an ``id`` and a ``type`` that name its resource.
        reader: Reads the bindings of all of them, and takes down what grants nothing.
        source: What explanations write before the resource and the position of a binding.

    Returns:
        The policy that grants what any of them grants, and denies what any of them denies.

    Raises:
        PolicyError: If it is not such a list, or one of the policies is not understood.
    """
    if not isinstance(entries, list | tuple) or not entries:
        raise PolicyError("not a policy: it is neither an object nor a list of policies")
    policies: list[LoadedPolicy] = []
    denying: list[DenyPolicy] = []
    for number, entry in enumerate(entries):
        policy, resource = _read_entry(entry, number)
        try:
            if policy.keys() & _OF_DENY_POLICY:
                from doorward.policy.deny.policy import DenyPolicy  # noqa: PLC0415 - as above

                denying.append(DenyPolicy.from_dict(policy))
            else:
                policies.append(read_one(policy, reader, f"{source}{resource} "))
        except PolicyError as error:
            raise PolicyError(f"{resource}: {error}") from error
    if not policies:
        raise PolicyError("not a policy: the list has deny policies only, which grant nothing")
    joined = join_policies(policies)
    return with_denials(joined, denying) if denying else joined


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
        raise PolicyError(f"entry {number} of the list: unknown member {first_shown(unknown)}")
    named = [str(entry[part]) for part in ("type", "id") if isinstance(entry.get(part), str)]
    return policy, clip(" ".join(named) or f"policies[{number}]")
