"""Conditions in CEL: what they know, what they grant, and that whatever cannot be evaluated grants nothing.

The sources of the rows: [attr] is https://cloud.google.com/iam/docs/conditions-attribute-reference, [cel] the
language definition of CEL, [ours] a choice that errs on the side of refusing.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from support.cel import NO, NOT_OFFERED, YES, outcome

GRANTS = "iam.googleapis.com/modifiedGrantsByRole"


class Row(NamedTuple):
    """One thing that a condition can say."""

    source: str
    expression: str
    expected: bool = YES


DOCUMENTED = [
    # The path and the host.
    Row("attr", 'request.path == "/v1/items/7"'),
    Row("attr", 'request.path == "/v1/items"', NO),
    Row("attr", 'request.path == "/V1/ITEMS/7"', NO),
    Row("attr", 'request.path.startsWith("/v1")'),
    Row("attr", 'request.path.startsWith("/v2")', NO),
    Row("attr", 'request.path.endsWith("/7")'),
    Row("attr", 'request.path.endsWith("/8")', NO),
    Row("attr", '!request.path.startsWith("/admin")'),
    Row("attr", '!request.path.startsWith("/v1")', NO),
    Row("attr", 'request.path != "/admin"'),
    Row("attr", 'request.host == "api.example.com"'),
    Row("attr", 'request.host == "hr.example.com"', NO),
    Row("attr", 'request.host.endsWith("example.com")'),
    Row("attr", 'request.host.endsWith("example.org")', NO),
    Row("attr", 'request.host.startsWith("api.")'),
    Row("attr", 'request.host != "hr.example.com"'),
    # Making, comparing and moving timestamps.
    Row("attr", 'request.time < timestamp("2024-03-31T00:59:59.124Z")'),
    Row("attr", 'request.time < timestamp("2024-03-31T00:59:59.123Z")', NO),
    Row("attr", 'request.time <= timestamp("2024-03-31T00:59:59.123Z")'),
    Row("attr", 'request.time <= timestamp("2024-03-31T00:59:59.122Z")', NO),
    Row("attr", 'request.time > timestamp("2024-03-31T00:59:59.122Z")'),
    Row("attr", 'request.time > timestamp("2024-03-31T00:59:59.123Z")', NO),
    Row("attr", 'request.time >= timestamp("2024-03-31T00:59:59.123Z")'),
    Row("attr", 'request.time >= timestamp("2024-03-31T00:59:59.124Z")', NO),
    Row("attr", 'request.time == timestamp("2024-03-31T00:59:59.123Z")'),
    Row("attr", 'request.time != timestamp("2024-03-31T00:59:59.123Z")', NO),
    Row("cel", 'timestamp("2024-03-31T02:59:59.123+02:00") == request.time'),
    Row("attr", 'request.time > date("2024-03-31")'),
    Row("attr", 'request.time < date("2024-04-01")'),
    Row("attr", 'date("2023-02-01") == timestamp("2023-02-01T00:00:00.000Z")'),
    Row("attr", 'request.time - duration("3600s") < date("2024-03-31")'),
    Row("attr", 'date("2024-03-30") + duration("86400s") == date("2024-03-31")'),
    Row(
        "attr",
        'timestamp("2024-04-12T14:30:00Z") - duration("5184000s") == date("2024-02-12") + duration("52200s")',
    ),
    Row("attr", 'duration("90s") == duration("1.5m")'),
    Row("cel", 'request.time - date("2024-03-31") < duration("1h")'),
    Row("cel", 'request.time - date("2024-03-31") < duration("59m")', NO),
    Row("cel", 'duration("30m") + duration("1800s") == duration("1h")'),
    # Reading timestamps, in UTC.
    Row("attr", "request.time.getFullYear() == 2024"),
    Row("attr", "request.time.getMonth() == 2"),
    Row("attr", "request.time.getDate() == 31"),
    Row("attr", "request.time.getDayOfMonth() == 30"),
    Row("attr", "request.time.getDayOfWeek() == 0"),
    Row("attr", "request.time.getDayOfYear() == 90"),
    Row("attr", "request.time.getHours() == 0"),
    Row("attr", "request.time.getMinutes() == 59"),
    Row("attr", "request.time.getSeconds() == 59"),
    Row("attr", "request.time.getMilliseconds() == 123"),
    Row("attr", "request.time.getHours() < request.time.getMinutes()"),
    # Reading timestamps elsewhere.
    Row("attr", 'request.time.getHours("Europe/Berlin") == 1'),
    Row("attr", '(request.time + duration("0.877s")).getHours("Europe/Berlin") == 3'),
    Row("attr", 'timestamp("2024-10-27T00:59:59Z").getHours("Europe/Berlin") == 2'),
    Row("attr", 'timestamp("2024-10-27T01:00:00Z").getHours("Europe/Berlin") == 2'),
    Row("attr", 'timestamp("2024-07-01T12:00:00Z").getHours("Europe/Berlin") == 14'),
    Row("attr", 'request.time.getHours("+01:00") == 1'),
    Row("attr", 'timestamp("2024-07-01T12:00:00Z").getHours("+01:00") == 13'),
    Row("cel", 'request.time.getHours("01:00") == 1'),
    Row("attr", 'request.time.getHours("-08:00") == 16'),
    Row("attr", 'request.time.getHours("America/Los_Angeles") == 17'),
    Row("attr", 'request.time.getMinutes("+05:30") == 29'),
    Row("attr", 'request.time.getMinutes("-00:30") == 29'),
    Row("attr", 'request.time.getHours("-00:30") == 0'),
    Row("attr", 'request.time.getMinutes("Asia/Kathmandu") == 44'),
    Row("attr", 'request.time.getDate("-08:00") == 30'),
    Row("attr", 'request.time.getDayOfMonth("-08:00") == 29'),
    Row("attr", 'request.time.getDayOfWeek("-08:00") == 6'),
    Row("attr", 'request.time.getDayOfYear("-08:00") == 89'),
    Row("attr", 'timestamp("2024-01-01T00:00:00Z").getFullYear("-08:00") == 2023'),
    Row("attr", 'timestamp("2024-01-01T00:00:00Z").getMonth("-08:00") == 11'),
    Row("attr", 'request.time.getSeconds("Europe/Berlin") == 59'),
    Row("attr", 'request.time.getMilliseconds("Europe/Berlin") == 123'),
    Row("attr", 'request.time.getHours("UTC") == 0'),
    # Taking something out of an attribute.
    Row("attr", 'request.path.extract("/items/{item}") == "7"'),
    Row("attr", 'request.path.extract("/{version}/items") == "v1"'),
    Row("attr", 'request.path.extract("/none/{item}") == ""'),
    Row("attr", 'request.host.extract("{name}.example.com") in ["api", "www"]'),
    Row("attr", 'request.path.extract("/v1/{rest}").startsWith("items/")'),
    Row("attr", 'date(request.path.extract("/none/{day}")) < request.time', NO),
    # What has the same answer for every request to invoke.
    Row("attr", f'api.getAttribute("{GRANTS}", []).hasOnly(["roles/pubsub.editor"])'),
    Row("attr", f'api.getAttribute("{GRANTS}", []).hasOnly([])'),
    Row("attr", f'!api.getAttribute("{GRANTS}", []).hasOnly(["roles/pubsub.editor"])', NO),
    Row("attr", f'"roles/owner" in api.getAttribute("{GRANTS}", [])', NO),
    Row("attr", f'!("roles/owner" in api.getAttribute("{GRANTS}", []))'),
    Row("attr", f'size(api.getAttribute("{GRANTS}", [])) == 0'),
    Row("attr", f'api.getAttribute("{GRANTS}", []) == []'),
    Row("attr", 'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("a")', NO),
    Row("attr", 'api.getAttribute("storage.googleapis.com/objectListPrefix", "a").startsWith("a")'),
    Row("attr", "compute.isForwardingRuleCreationOperation()", NO),
    Row("attr", "!compute.isForwardingRuleCreationOperation()"),
    Row(
        "attr",
        "!compute.isForwardingRuleCreationOperation() || (compute.isForwardingRuleCreationOperation() && "
        "compute.matchLoadBalancingSchemes(['INTERNAL']))",
    ),
    # Functions and operators of CEL.
    Row("cel", 'request.path.contains("/items/")'),
    Row("cel", 'request.path.contains("/admin/")', NO),
    Row("cel", 'request.path.matches("^/v[0-9]+/items/")'),
    Row("cel", 'request.path.matches("^/admin")', NO),
    Row("cel", 'matches(request.host, "^api[.]")'),
    Row("cel", "size(request.path) == 11"),
    Row("cel", "request.path.size() == 11"),
    Row("cel", 'size(["a", "b"]) == 2'),
    Row("cel", 'request.host == "api.example.com" ? request.path.startsWith("/v1") : false'),
    Row("cel", 'request.host == "x" ? true : request.path == "/x"', NO),
    Row("cel", "has(request.host) && has(request.path) && has(request.time)"),
    Row("cel", "!has(request.host)", NO),
    Row("cel", "request.time.getDayOfYear() % 2 == 0"),
    Row("cel", "request.time.getMinutes() * 2 / 2 == 59"),
    Row("cel", "-request.time.getHours() == 0 && -(1) < 0"),
    # Logic.
    Row("cel", "true"),
    Row("cel", "false", NO),
    Row("cel", 'request.path.startsWith("/v1") && request.host == "api.example.com"'),
    Row("cel", 'request.path.startsWith("/v1") && request.host == "x"', NO),
    Row("cel", 'request.path.startsWith("/x") || request.host == "api.example.com"'),
    Row("cel", 'request.path.startsWith("/x") || request.host == "x"', NO),
    Row("cel", "false && true || true"),
    Row("cel", "false && (true || true)", NO),
    Row("cel", "!true || true"),
    Row("cel", "!(true || true)", NO),
    Row("cel", 'request.path in ["/a", "/v1/items/7"]'),
    Row("cel", 'request.path in ["/a", "/b"]', NO),
    Row("cel", "request.time.getHours() - 1 == -1"),
    # The forms in which it may be written.
    Row("cel", "request.path == '/v1/items/7'"),
    Row("cel", 'request.path == r"/v1/items/7"'),
    Row("cel", 'request.path == """/v1/items/7"""'),
    Row("cel", r'request.path == "\x2fv1\u002fitems/\067"'),
    Row("cel", 'request . path == "/v1" + "/items/7" // a remark'),
    Row("cel", '\n  request.path == "/v1/items/7"\n  &&\n\ttrue\n'),
    Row("cel", '.request.path == "/v1/items/7"'),
    Row("cel", r'"\"\\\n\u00e9\U0001f600" == ' + "'\"\\\\\\n\u00e9\U0001f600'"),
    Row("cel", "-9223372036854775808 < 9223372036854775807"),
]


UNAVAILABLE = [
    # Never by an attribute that Cloud Run does not have, nor by its opposite.
    Row("attr", NOT_OFFERED, NO),
    Row("attr", f"!({NOT_OFFERED})", NO),
    Row("attr", f"!!({NOT_OFFERED})", NO),
    Row("attr", 'resource.name != "x"', NO),
    Row("attr", '!(resource.name != "x")', NO),
    Row("attr", "resource.name == resource.name", NO),
    Row("attr", f"({NOT_OFFERED}) == false", NO),
    Row("attr", f"({NOT_OFFERED}) != true", NO),
    Row("attr", f"false in [{NOT_OFFERED}]", NO),
    Row("attr", f"!({NOT_OFFERED} && true)", NO),
    Row("attr", f"!(true && {NOT_OFFERED})", NO),
    Row("attr", f"!({NOT_OFFERED} || false)", NO),
    Row("attr", f"{NOT_OFFERED} || !({NOT_OFFERED})", NO),
    Row("attr", 'resource.service == "run.googleapis.com"', NO),
    Row("attr", 'resource.type == "run.googleapis.com/Service"', NO),
    Row("attr", 'resource.name.startsWith("projects/")', NO),
    Row("attr", '!resource.name.endsWith("x")', NO),
    Row("attr", 'resource.name.extract("/projects/{p}/") == ""', NO),
    Row("attr", 'resource.name.extract("/projects/{p}/") != "x"', NO),
    Row("attr", 'resource.matchTag("123/env", "prod")', NO),
    Row("attr", '!resource.matchTag("123/env", "prod")', NO),
    Row("attr", '!resource.matchTagId("tagKeys/1", "tagValues/2")', NO),
    Row("attr", '!resource.hasTagKey("123/env")', NO),
    Row("attr", '!resource.hasTagKeyId("tagKeys/1")', NO),
    Row("attr", '"accessPolicies/1/accessLevels/a" in request.auth.access_levels', NO),
    Row("attr", '!("accessPolicies/1/accessLevels/a" in request.auth.access_levels)', NO),
    Row("attr", 'destination.ip != "10.0.0.1"', NO),
    Row("attr", "!(destination.port == 21)", NO),
    Row("attr", 'principal.type == "iam.googleapis.com/ServiceAccount"', NO),
    Row("ours", 'api.getAttribute("x", "") == ""', NO),
    Row("ours", '!(api.getAttribute("x", []).hasOnly(["a"]))', NO),
    Row("attr", f'api.getAttribute("{GRANTS}", ["a"]).hasOnly(["a"])', NO),
    Row("attr", f'api.getAttribute("{GRANTS}", "").hasOnly(["a"])', NO),
    Row("attr", f'api.getAttribute("{GRANTS}") == []', NO),
    Row("ours", 'api.getAttribute(request.path, []).hasOnly(["a"])', NO),
    Row("attr", 'api.getAttribute("storage.googleapis.com/objectListPrefix", []) == []', NO),
    Row("ours", 'compute.matchLoadBalancingSchemes(["INTERNAL"])', NO),
    Row("ours", '!compute.matchLoadBalancingSchemes(["INTERNAL"])', NO),
    Row("ours", "!compute.isForwardingRuleCreationOperation(1)", NO),
    Row("ours", "has(resource.name)", NO),
    Row("ours", "!has(resource.name)", NO),
    Row("ours", "!has(request.path.raw)", NO),
    Row("ours", 'resource.name.contains("x") ? true : true', NO),
    Row("ours", '!resource.name.matches("x")', NO),
    Row("ours", "size(resource.name) >= 0", NO),
    Row("ours", "resource.name.size() >= 0", NO),
    # However it is reached for.
    Row("ours", 'request.method != "POST"', NO),
    Row("ours", 'request.pth != "/x"', NO),
    Row("ours", 'request.path.raw != "/x"', NO),
    Row("ours", '!(request["path"] == "/x")', NO),
    Row("ours", "request != 1", NO),
    Row("ours", '!(resource.labels["a"].b == "c")', NO),
    Row("ours", "unavailable", NO),
    Row("ours", "!unavailable", NO),
    Row("ours", 'extracted0 == ""', NO),
    Row("ours", "request.path.startsWith(resource.name)", NO),
    Row("ours", "!request.path.startsWith(resource.name)", NO),
    Row("ours", "!(timestamp(resource.expiry) < request.time)", NO),
    Row("ours", "!(date(resource.expiry) < request.time)", NO),
    # But by the other parts.
    Row("attr", f"{NOT_OFFERED} || request.path == '/v1/items/7'"),
    Row("attr", f"request.path == '/v1/items/7' || {NOT_OFFERED}"),
    Row("attr", f"{NOT_OFFERED} || request.path == '/x'", NO),
    Row("attr", f"!({NOT_OFFERED}) || request.path == '/x'", NO),
    Row("attr", f"{NOT_OFFERED} && request.path == '/v1/items/7'", NO),
    Row("cel", f"!({NOT_OFFERED} && request.path == '/x')"),
]


ERRORS = [
    # Whatever else a condition says, where a timestamp is not one.
    Row("attr", 'request.time < timestamp("2024-03-32T00:00:00Z")', NO),
    Row("attr", 'true || request.time < timestamp("tomorrow")', NO),
    Row("attr", '!(request.time < timestamp("2030-01-01"))', NO),
    Row("attr", 'true || request.time < timestamp(" 2030-01-01T00:00:00Z")', NO),
    Row("attr", 'true || request.time < timestamp("2030-1-1T0:0:0Z")', NO),
    Row("attr", 'true || request.time < timestamp("infinite-future")', NO),
    Row("attr", 'true || request.time < date("2030-02-30")', NO),
    Row("attr", 'true || request.time < date("2030-02-01T00:00:00Z")', NO),
    Row("attr", 'true || request.time - date("2024-01-01") < duration("1d")', NO),
    Row("attr", 'true || request.time - date("2024-01-01") < duration("inf")', NO),
    # Otherwise an error is like an attribute that is not there.
    Row("cel", "9223372036854775807 + 1 > 0", NO),
    Row("cel", "!(9223372036854775807 + 1 > 0)", NO),
    Row("cel", "9223372036854775807 + 1 > 0 || true"),
    Row("cel", "9223372036854775807 + 1 > 0 && true", NO),
    Row("cel", 'request.time + duration("315576000000s") > request.time', NO),
    Row("cel", "!(timestamp(request.path) < request.time)", NO),
    Row("cel", "timestamp(request.path) < request.time || true"),
]


def ids(row: Row) -> str:
    return f"{row.source}: {row.expression}"


@pytest.mark.parametrize("row", DOCUMENTED, ids=ids)
def test_it_says_what_the_reference_says(row: Row) -> None:
    assert row.expected is outcome(row.expression)


@pytest.mark.parametrize("row", UNAVAILABLE, ids=ids)
def test_an_attribute_that_cloud_run_does_not_have_never_grants(row: Row) -> None:
    assert row.expected is outcome(row.expression)


@pytest.mark.parametrize("row", ERRORS, ids=ids)
def test_an_error_never_grants(row: Row) -> None:
    assert row.expected is outcome(row.expression)
