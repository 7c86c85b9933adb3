"""The conditions of bindings, which are written in CEL.

See https://cloud.google.com/iam/docs/conditions-overview. They are not evaluated yet: a policy that holds one
in a binding that matters does not load. Without its condition the binding would grant more than the policy
says, and skipping it would grant less.
"""

from __future__ import annotations

from typing import NoReturn

from doorward.errors import PolicyError

__all__ = ["compile_condition"]


def compile_condition(expression: str, title: str = "") -> NoReturn:
    """Refuse a condition.

    Args:
        expression: What the policy says.
        title: What the policy calls it.

    Raises:
        PolicyError: Always.
    """
    named = f" ({title})" if title else ""
    raise PolicyError(f"conditions are not supported yet{named}: {expression[:200]!r}")
