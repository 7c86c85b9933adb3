from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Refusal, problem_details
from doorward.door.refusal import RefusalStyle, cloud_run
from doorward.errors import (
    ClaimError,
    CredentialError,
    KeysUnavailableError,
    MalformedTokenError,
    PermissionDeniedError,
    PolicyUnavailableError,
    Reason,
    RefusedError,
    SignatureError,
)

NO_CREDENTIAL = CredentialError(Reason.NO_CREDENTIAL, "none")
DENIED = PermissionDeniedError("may not")
EXPIRED = ClaimError(Reason.EXPIRED, "the token expired 7 s ago", "exp")
AWAY = KeysUnavailableError("the endpoint is away", 6.2)
CHALLENGE = (
    b"www-authenticate",
    b'Bearer error="invalid_token" error_description="The access token could not be verified"',
)

BODY_401 = b"""<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>401 Unauthorized</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: Unauthorized</h1>
<h2>Your client does not have permission to the requested URL <code>/endpoint/x</code>.</h2>
<h2></h2>
</body></html>
"""
BODY_403 = b"""<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>403 Forbidden</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: Forbidden</h1>
<h2>Your client does not have permission to get URL <code>/endpoint/x</code> from this server.</h2>
<h2></h2>
</body></html>
"""
BODY_503 = b"""<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>503 Service Unavailable</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: Service Unavailable</h1>
<h2>The service cannot check the credential for URL <code>/endpoint/x</code> now. Please try again later.</h2>
<h2></h2>
</body></html>
"""


@pytest.mark.parametrize(
    ("error", "status", "body", "more"),
    [
        (EXPIRED, 401, BODY_401, (CHALLENGE,)),
        (NO_CREDENTIAL, 403, BODY_403, ()),
        (DENIED, 403, BODY_403, ()),
        (AWAY, 503, BODY_503, ((b"retry-after", b"7"),)),
    ],
    ids=["bad token", "no credential", "may not", "cannot know now"],
)
def test_the_answer_is_that_of_cloud_run_byte_for_byte(
    error: RefusedError, status: int, body: bytes, more: tuple[tuple[bytes, bytes], ...]
) -> None:
    headers = (
        (b"content-type", b"text/html; charset=UTF-8"),
        (b"content-length", str(len(body)).encode()),
        *more,
    )

    assert Refusal(status, headers, body, error.reason, error) == cloud_run(error, "/endpoint/x")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_status(reason: Reason) -> None:
    if reason is Reason.PERMISSION_DENIED:
        error: RefusedError = PermissionDeniedError("may not")
    elif reason is Reason.KEYS_UNAVAILABLE:
        error = KeysUnavailableError("away")
    elif reason is Reason.POLICY_UNAVAILABLE:
        error = PolicyUnavailableError("away")
    else:
        error = MalformedTokenError(reason, "bad")
    expected = {
        Reason.NO_CREDENTIAL: 403,
        Reason.UNREADABLE_PATH: 403,
        Reason.UNKNOWN_SERVICE: 404,
        Reason.PERMISSION_DENIED: 403,
        Reason.ROUTE_NARROWED: 403,
        Reason.KEYS_UNAVAILABLE: 503,
        Reason.POLICY_UNAVAILABLE: 503,
    }

    assert expected.get(reason, 401) == cloud_run(error, "/").status
    assert reason == error.reason


@pytest.mark.parametrize("style", [cloud_run, problem_details])
@pytest.mark.parametrize(
    ("error", "challenged", "retried"),
    [(NO_CREDENTIAL, False, False), (DENIED, False, False), (EXPIRED, True, False), (AWAY, False, True)],
    ids=["no credential", "may not", "bad token", "cannot know now"],
)
def test_only_a_401_challenges_and_only_a_503_says_when_to_come_back(
    *,
    style: RefusalStyle,
    error: RefusedError,
    challenged: bool,
    retried: bool,
) -> None:
    names = [name for name, _ in style(error, "/").headers]

    assert challenged == (b"www-authenticate" in names)
    assert retried == (b"retry-after" in names)


@pytest.mark.parametrize(
    ("wait", "expected"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.1, b"2"), (300.0, b"300")]
)
def test_the_wait_is_in_whole_seconds_of_at_least_one(wait: float, expected: bytes) -> None:
    assert expected == dict(cloud_run(KeysUnavailableError("away", wait), "/").headers)[b"retry-after"]


@pytest.mark.parametrize("error", [EXPIRED, DENIED, AWAY], ids=["401", "403", "503"])
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/<script>alert(1)</script>", b"/&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("/\"'&</code>", b"/&quot;&#x27;&amp;&lt;/code&gt;"),
        ("/{status}{path}{0}%s", b"/{status}{path}{0}%s"),
        ("/%3Cb%3E", b"/%3Cb%3E"),
        ("/ü", "/ü".encode()),
        ("/\ud800", b"/?"),
        ("", b""),
        ("//evil.example/x", b"//evil.example/x"),
    ],
    ids=repr,
)
def test_the_path_is_shown_as_text(error: RefusedError, path: str, shown: bytes) -> None:
    refusal = cloud_run(error, path)

    assert b"<code>%s</code>" % shown in refusal.body
    assert str(len(refusal.body)).encode() == dict(refusal.headers)[b"content-length"]


@pytest.mark.parametrize("style", [cloud_run, problem_details])
def test_the_caller_is_not_told_why(style: RefusalStyle) -> None:
    """Whoever holds a bad token must not learn which check it failed."""
    answers = {
        (refusal.status, refusal.headers, refusal.body)
        for refusal in (
            style(EXPIRED, "/"),
            style(SignatureError(Reason.BAD_SIGNATURE, "bad"), "/"),
            style(MalformedTokenError(Reason.MALFORMED, "bad"), "/"),
            style(CredentialError(Reason.ACCESS_TOKEN, "an access token"), "/"),
        )
    }

    assert 1 == len(answers)


@pytest.mark.parametrize(
    ("error", "status", "title", "more"),
    [
        (EXPIRED, 401, "Unauthorized", [CHALLENGE]),
        (DENIED, 403, "Forbidden", []),
        (NO_CREDENTIAL, 403, "Forbidden", []),
        (AWAY, 503, "Service Unavailable", [(b"retry-after", b"7")]),
    ],
    ids=["401", "403", "403 without", "503"],
)
def test_problem_details_say_the_same_in_json(
    error: RefusedError, status: int, title: str, more: list[tuple[bytes, bytes]]
) -> None:
    refusal = problem_details(error, "/a b<é>")

    assert (status, error.reason, error) == (refusal.status, refusal.reason, refusal.error)
    assert {"type": "about:blank", "title": title, "status": status, "instance": "/a b<é>"} == json.loads(
        refusal.body
    )
    assert [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(refusal.body)).encode()),
        *more,
    ] == list(refusal.headers)


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=200)
def test_no_path_breaks_out_of_its_frame(path: str) -> None:
    body = cloud_run(DENIED, path).body
    empty = cloud_run(DENIED, "").body
    start, end = empty.split(b"<code></code>")

    assert body.startswith(start + b"<code>")
    assert body.endswith(b"</code>" + end)
    shown = body[len(start) + len(b"<code>") : -len(end) - len(b"</code>")]
    assert not set(b"<>\"'") & set(shown)
