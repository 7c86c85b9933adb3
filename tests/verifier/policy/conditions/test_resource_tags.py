from __future__ import annotations

from typing import Any

import pytest

from doorward import InvokerPolicy, PolicyError
from doorward.policy.conditions.resource_tags import ResourceTags
from support.policies import INVOKER, binding, document, principal
from support.tokens import MEMBER

PROD = {"123/env": "prod"}


@pytest.mark.parametrize(
    "tags",
    [
        {"env": "prod"},
        {"123/env": ""},
        {"123/env": 7},
        {7: "prod"},
        {"123/env": "123/env/prod"},
        {"123/env": "tagValues/1"},
        {"tagKeys/1": "prod"},
        {"tagKeys/a": "tagValues/1"},
        {"tagKeys/\u0661": "tagValues/1"},
        {"1/2/3": "prod"},
        {"123/env": "prod", "123/team": "a", "tagKeys/1": "tagValues/2"},
        "123/env=prod",
        [("123/env", "prod")],
    ],
    ids=repr,
)
def test_what_is_no_tag_is_refused(tags: Any) -> None:
    with pytest.raises(PolicyError, match="resource_tags"):
        InvokerPolicy([], resource_tags=tags)


def test_tags_are_known_in_the_forms_in_which_they_are_given() -> None:
    assert ResourceTags.read(None) is None
    names, none = ResourceTags.read(PROD), ResourceTags.read({})
    assert names is not None
    assert none is not None
    assert (True, None) == (names.answer("hasTagKey", "123/env"), names.answer("hasTagKeyId", "tagKeys/1"))
    assert (False, False) == (none.answer("hasTagKey", "123/env"), none.answer("hasTagKeyId", "tagKeys/1"))


def test_a_binding_for_the_tags_of_the_service_grants_for_good() -> None:
    condition = {"expression": "resource.matchTag('123/env', 'prod')"}
    conditional = document(binding(INVOKER, MEMBER, condition=condition), version=3)

    decided = InvokerPolicy.from_dict(conditional, resource_tags=PROD).decide(principal())
    assert (True, True) == (decided.granted, decided.same_for_every_request)
    for tags in (None, {"123/env": "test"}, {}):
        assert not InvokerPolicy.from_dict(conditional, resource_tags=tags).decide(principal()).granted


def test_joined_policies_are_for_one_service_with_the_same_tags() -> None:
    told, other = InvokerPolicy([], resource_tags=PROD), InvokerPolicy([], resource_tags={})

    joined = InvokerPolicy.join(told, InvokerPolicy([]), told)

    with pytest.raises(PolicyError, match="different resource_tags"):
        InvokerPolicy.join(joined, other)
    with pytest.raises(PolicyError, match="different resource_tags"):
        InvokerPolicy.join(told, other)
