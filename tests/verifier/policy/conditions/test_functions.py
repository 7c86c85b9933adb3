from __future__ import annotations

import pytest

from doorward import PlainRequest
from doorward.policy.conditions.condition import compile_condition
from doorward.policy.conditions.resource_tags import ResourceTags
from support.cel import NOW, REQUEST

NAMES = {"123/env": "prod", "project/team": "orders"}
IDS = {"tagKeys/1": "tagValues/2", "tagKeys/3": "tagValues/4"}


def holds(expression: str, tags: dict[str, str] | None) -> bool:
    condition = compile_condition(expression, tags=ResourceTags.read(tags))
    assert (False, False) == (condition.depends_on_request, condition.depends_on_time)
    return condition.holds(REQUEST, NOW)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('resource.matchTag("123/env", "prod")', True),
        ('resource.matchTag("123/env", "test")', False),
        ('resource.matchTag("123/ENV", "prod")', False),
        ('resource.matchTag("124/env", "prod")', False),
        ('resource.hasTagKey("project/team")', True),
        ('resource.hasTagKey("project/other")', False),
        ('resource.matchTagId("tagKeys/1", "tagValues/2")', True),
        ('resource.matchTagId("tagKeys/1", "tagValues/4")', False),
        ('resource.hasTagKeyId("tagKeys/3")', True),
        ('resource.hasTagKeyId("tagKeys/2")', False),
    ],
)
def test_a_question_for_tags_that_are_known_is_decided_with_its_opposite(
    expression: str, *, expected: bool
) -> None:
    assert expected is holds(expression, {**NAMES, **IDS})
    assert expected is not holds(f"!{expression}", {**NAMES, **IDS})


@pytest.mark.parametrize(
    ("tags", "expression"),
    [
        (None, 'resource.matchTag("123/env", "prod")'),
        (None, 'resource.hasTagKeyId("tagKeys/1")'),
        (NAMES, 'resource.matchTagId("tagKeys/1", "tagValues/2")'),
        (NAMES, 'resource.hasTagKeyId("tagKeys/1")'),
        (IDS, 'resource.matchTag("123/env", "prod")'),
        (IDS, 'resource.hasTagKey("123/env")'),
        (NAMES, 'resource.matchTag("123/env")'),
        (NAMES, 'resource.hasTagKey("123/env", "prod")'),
        (NAMES, "resource.hasTagKey(request.path)"),
        (NAMES, 'resource.hasTag("123/env")'),
    ],
)
def test_a_question_for_tags_that_are_not_known_grants_nothing_nor_does_its_opposite(
    tags: dict[str, str] | None, expression: str
) -> None:
    for asked in (expression, f"!{expression}"):
        condition = compile_condition(asked, tags=ResourceTags.read(tags))
        assert not condition.holds(REQUEST, NOW)
        assert condition.outcome(REQUEST, NOW) is None


def test_a_service_without_tags_has_none_of_any_form() -> None:
    assert holds('!resource.hasTagKey("123/env") && !resource.hasTagKeyId("tagKeys/1")', {})


def test_tags_decide_beside_the_request() -> None:
    expression = 'resource.matchTag("123/env", "prod") && request.path == "/x"'
    condition = compile_condition(expression, tags=ResourceTags.read(NAMES))

    assert condition.holds(PlainRequest("/x"), NOW)
    assert not condition.holds(PlainRequest("/y"), NOW)
