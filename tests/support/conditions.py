"""Conditions that stand in for those in CEL, to test what policies do with their outcomes."""

from __future__ import annotations

import re
import sys
import types

import pytest

from doorward import PolicyError
from doorward.policy.request import RequestFacts

_PATH = re.compile(r"request\.path == '([^']*)'")
_BEFORE = re.compile(r"request\.time < (\d+)")


class StubCondition:
    """Understands ``true``, ``false``, ``error``, ``request.path == '…'`` and ``request.time < SECONDS``."""

    def __init__(self, expression: str, title: str = "") -> None:
        self.expression = expression
        self.title = title
        self.depends_on_request = expression.startswith("request.path") or expression == "error"
        self.depends_on_time = expression.startswith("request.time")
        self.asked = 0

    def holds(self, request: RequestFacts, now: float) -> bool:
        self.asked += 1
        if (path := _PATH.fullmatch(self.expression)) is not None:
            return path[1] == request.path
        if (before := _BEFORE.fullmatch(self.expression)) is not None:
            return now < int(before[1])
        return self.expression == "true"

    def explain(self, request: RequestFacts, now: float) -> tuple[bool, str]:
        outcome = self.holds(request, now)
        return outcome, f"it is {outcome}"


class Conditions:
    """Compiles every condition in a test, and keeps them."""

    def __init__(self) -> None:
        self.compiled: list[StubCondition] = []

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> Conditions:
        """Make policies compile their conditions here."""
        conditions = cls()
        module = types.ModuleType("doorward.policy.conditions.condition")
        module.compile_condition = conditions.compile  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "doorward.policy.conditions.condition", module)
        monkeypatch.setattr("doorward.policy.conditions.library.check_library", lambda: None)
        return conditions

    def compile(self, expression: str, title: str = "", tags: object = None) -> StubCondition:
        del tags
        known = expression in ("true", "false", "error")
        if not known and not _PATH.fullmatch(expression) and not _BEFORE.fullmatch(expression):
            raise PolicyError(f"{expression!r} is no condition")
        self.compiled.append(StubCondition(expression, title))
        return self.compiled[-1]

    @property
    def asked(self) -> int:
        """How often any of them was evaluated."""
        return sum(condition.asked for condition in self.compiled)
