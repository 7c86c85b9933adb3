"""Policy documents: read into what decides, and written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.decision import BindingCondition
from doorward.policy.documents.bindings import Binding, BindingReader, PolicySettings
from doorward.policy.documents.loaded import LoadedPolicy
from doorward.policy.documents.remarks import log_remarks
from doorward.policy.index import PolicyIndex
from doorward.shown import first_quoted, quoted

__all__ = ["plain_copy", "read_bindings", "read_document"]

_VERSIONS: Final = (0, 1, 3)  # https://cloud.google.com/iam/docs/reference/rest/v1/Policy
_MEMBERS: Final = frozenset({"bindings", "etag", "version", "auditConfigs", "kind", "resourceId"})
_MAX_DEPTH: Final = 64
_OF_SERVICE: Final = (
    "it describes a service: pass it to InvokerPolicy.from_service, and read what "
    "'gcloud run services get-iam-policy' prints"
)
# What is saved in place of a policy, by a member that only this has, and what to do.
_OTHERWISE: Final = {
    "rules": "it is a deny policy: read it with DenyPolicy, and pass it to InvokerPolicy.with_deny",
    "policy": "the policy is the value of its member 'policy'",
    "metadata": _OF_SERVICE,
    "uri": _OF_SERVICE,
    "error": "it is an answer that reports an error",
    "binding": "Terraform writes 'binding' for what IAM calls 'bindings'",
    "role": "it is one binding: put it into the list 'bindings'",
}


def read_bindings(
    bindings: Iterable[Binding | tuple[str, Iterable[str]]], settings: PolicySettings
) -> LoadedPolicy:
    """Read bindings that the user writes, and make the document of them.

    Args:
        bindings: `Binding`, or pairs of role and members.
        settings: See `PolicySettings`.

    Returns:
        The policy.

    Raises:
        PolicyError: If a binding whose role holds the permission is not understood.
    """
    reader = BindingReader(settings)
    permission_bindings, written = [], []
    for number, given in enumerate(bindings):
        binding = given if isinstance(given, Binding) else Binding(*given)
        if isinstance(binding.members, str):
            raise PolicyError(f"the members of {quoted(binding.role)} must be a list, not one string")
        members = list(binding.members)
        if reader.role_holds(binding.role):
            permission_bindings.append(
                reader.make(f"bindings[{number}]", binding.role, members, binding.condition)
            )
        condition = {} if binding.condition is None else {"condition": _condition_document(binding.condition)}
        written.append({"role": binding.role, "members": members, **condition})
    conditional = any("condition" in binding for binding in written)
    document = {"bindings": written, "version": 3 if conditional else 1}
    index = PolicyIndex(permission_bindings, (), reader.known)
    # A policy of no bindings is written on purpose.
    remarks = reader.remarks.sentences(index, roles=reader.count, source="") if written else ()
    log_remarks(remarks)
    return LoadedPolicy(index, document, reader.permission, reader.groups, reader.tags, remarks)


def read_document(document: Mapping[str, object], reader: BindingReader, source: str) -> LoadedPolicy:
    """Read one policy document.

    Args:
        document: One policy object; it is copied.
        reader: Reads its bindings, and takes down what grants nothing.
        source: What explanations write before the position of a binding.

    Returns:
        The policy, without remarks.

    Raises:
        PolicyError: If it is not a policy, or holds a binding that is not understood.
    """
    if unknown := document.keys() - _MEMBERS:
        why = next((why for member, why in _OTHERWISE.items() if member in unknown), None)
        raise PolicyError(f"not a policy: {why or f'unknown member {first_quoted(unknown)}'}")
    # What has no value is written as null by some tools.
    version, bindings = document.get("version"), document.get("bindings")
    version, bindings = 0 if version is None else version, () if bindings is None else bindings
    if type(version) is not int or version not in _VERSIONS:
        raise PolicyError(f"policy version {quoted(version)}; known are {', '.join(map(str, _VERSIONS))}")
    if isinstance(bindings, Mapping):
        raise PolicyError("'bindings' must be a list: print the policy without --flatten")
    if not isinstance(bindings, list | tuple):
        raise PolicyError("'bindings' must be a list")
    found = (reader.read(binding, f"bindings[{number}]", source) for number, binding in enumerate(bindings))
    return LoadedPolicy(
        PolicyIndex(filter(None, found), (), reader.known),
        _frozen(document),
        reader.permission,
        reader.groups,
        reader.tags,
    )


def plain_copy(value: object, depth: int = 0) -> object:
    """Copy a value of a document, as plain lists and dictionaries.

    Args:
        value: The value, as it was read.
        depth: The levels that it is nested in.

    Returns:
        A copy that its holder may change.

    Raises:
        PolicyError: If it is nested too deeply, which only a document that was not read from a text can be.
    """
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth > _MAX_DEPTH:
        raise PolicyError("not a policy: it is nested too deeply")
    if isinstance(value, Mapping):
        return {_name(name): plain_copy(member, depth + 1) for name, member in value.items()}
    return [plain_copy(member, depth + 1) for member in value]


def _frozen(document: Mapping[str, object]) -> Mapping[str, Any]:
    return MappingProxyType({_name(name): plain_copy(value, 1) for name, value in document.items()})


def _name(name: object) -> str:
    return name if isinstance(name, str) else quoted(name)


def _condition_document(condition: BindingCondition) -> dict[str, str]:
    """Return what a policy document holds for a condition."""
    named = {"title": condition.title} if condition.title else {}
    return {"expression": condition.expression, **named}
