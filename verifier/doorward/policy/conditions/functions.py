"""The functions of conditions: those of IAM alone that have the same answer for every request to invoke.

https://cloud.google.com/iam/docs/conditions-attribute-reference says what each returns for a request that is
not about what it asks for:

- ``api.getAttribute(NAME, DEFAULT)`` returns the default where a request does not have the attribute, and no
  request to invoke has any of the documented ones. A list that it returns has ``hasOnly``, which is true of
  an empty list.
- ``compute.isForwardingRuleCreationOperation()`` is false for any request that creates no forwarding rule.
- The functions of ``resource`` that ask for tags have an answer where the tags of the service are known.
"""

from __future__ import annotations

from typing import Final

from doorward.policy.conditions.resource_tags import TAG_FUNCTIONS, ResourceTags
from doorward.policy.conditions.syntax import Call, Items, Literal, Name, Node
from doorward.shown import shortened

__all__ = ["constant_call", "missing_reason"]

_LIST_ATTRIBUTE: Final = "iam.googleapis.com/modifiedGrantsByRole"
_TEXT_ATTRIBUTES: Final = frozenset(
    {"aiplatform.googleapis.com/sessionUserId", "storage.googleapis.com/objectListPrefix"}
)
_ASKS_FOR_TAGS: Final = frozenset(f"resource.{name}()" for name in TAG_FUNCTIONS)


def constant_call(node: Node, tags: ResourceTags | None) -> Literal | Items | None:
    """Return the value of a call that has the same one for every request.

    Args:
        node: Any node.
        tags: The tags of the service; None if they are not known.

    Returns:
        The value; None if the node is anything else.
    """
    if not isinstance(node, Call):
        return None
    function, arguments = node.function, node.arguments
    if function == "hasOnly" and node.target is not None:
        listed = constant_call(node.target, tags)
        only = isinstance(listed, Items) and len(arguments) == 1 and _texts(arguments[0]) is not None
        return Literal(value=True) if only else None
    match node.target:
        case Name("api") if function == "getAttribute":
            return _default(arguments)
        case Name("compute") if function == "isForwardingRuleCreationOperation" and not arguments:
            return Literal(value=False)
        case Name("resource") if tags is not None and TAG_FUNCTIONS.get(function) == len(arguments):
            texts = _texts(Items(arguments))
            answer = None if texts is None else tags.answer(function, *texts)
            return None if answer is None else Literal(answer)
        case _:
            return None


def _default(arguments: tuple[Node, ...]) -> Literal | Items | None:
    """Return the default of a documented attribute, if it has the documented type."""
    match arguments:
        case (Literal(str() as name), Items(()) as default) if name == _LIST_ATTRIBUTE:
            return default
        case (Literal(str() as name), Literal(str()) as default) if name in _TEXT_ATTRIBUTES:
            return default
        case _:
            return None


def _texts(node: Node) -> list[str] | None:
    """Return the items of a list of literal strings; None if it is anything else."""
    if not isinstance(node, Items):
        return None
    values = [item.value for item in node.items if isinstance(item, Literal)]
    texts = [value for value in values if isinstance(value, str)]
    return texts if len(texts) == len(node.items) else None


def missing_reason(name: str) -> str:
    """Return why a part of a condition has no value.

    Args:
        name: The attribute or the function that it reads.
    """
    if name in _ASKS_FOR_TAGS:
        return (
            f"{name} asks for the tags of the service, which are not known in this form: pass resource_tags"
        )
    return f"{shortened(name)} is not available on Cloud Run"
