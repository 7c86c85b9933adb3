"""What the description of a service says about its invoker check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doorward.errors import PolicyError
from doorward.shown import quoted

__all__ = ["check_is_disabled"]

_DISABLED: Final = "run.googleapis.com/invoker-iam-disabled"


def check_is_disabled(service: Mapping[str, object]) -> bool:
    """Return whether the description of a service says that its invoker check is switched off.

    https://cloud.google.com/run/docs/securing/managing-access

    Args:
        service: What ``gcloud run services describe --format=json`` prints (the annotation
            ``run.googleapis.com/invoker-iam-disabled``), or the v2 API (``invokerIamDisabled``).

    Raises:
        PolicyError: If the description is not understood.
    """
    flag = service.get("invokerIamDisabled", False)
    metadata = service.get("metadata", {})
    annotations = metadata.get("annotations", {}) if isinstance(metadata, Mapping) else "?"
    annotations = {} if annotations is None else annotations
    if not isinstance(annotations, Mapping) or not isinstance(flag, bool):
        raise PolicyError("not the description of a service: print it with --format=json")
    annotated = annotations.get(_DISABLED, "false")
    if annotated not in ("true", "false"):
        raise PolicyError(f"the annotation {_DISABLED} is 'true' or 'false', not {quoted(annotated)}")
    return flag or annotated == "true"
