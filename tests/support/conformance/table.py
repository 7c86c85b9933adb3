"""The table of requests, as data: what is sent, and what every adapter on every server makes of it.

In headers and answers ``{good}`` and the like stand for the tokens of `support.conformance.doors`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from support.conformance.doors import LIMITED as LIMITED_CALLER
from support.tokens import MEMBER

__all__ = [
    "FOLDED_NAMES",
    "LIMITED_SEEN",
    "NO_CHUNKS",
    "SEEN",
    "SERVERLESS_SEEN",
    "SOCKETS",
    "TABLE",
    "Gives",
    "Row",
]


@dataclass(frozen=True)
class Row:
    """One request and its outcome.

    Attributes:
        name: What is special about it.
        status: The status of the answer.
        headers: Its headers, as they are sent.
        method: Its method.
        target: Its target, as it is sent.
        body: Its body; sent in two chunks, if it is a tuple of two.
        seen: What the application shows of an admitted request, beside what is usual; None if the answer is
            the framework's own.
    """

    name: str
    status: int
    headers: tuple[str, ...] = ()
    method: str = "GET"
    target: str = "/orders"
    body: str | tuple[str, ...] = ""
    seen: dict[str, str] | None = field(default_factory=dict)


Gives: TypeAlias = dict[str, dict[str, Any]]
"""What is otherwise than the table says, by the names of its rows: other values of their attributes."""

BEARER = "authorization: Bearer {good}"
SERVERLESS = "x-serverless-authorization: Bearer {good}"
LIMITED = "authorization: Bearer {limited}"
SEEN = {"caller": MEMBER, "authorization": "Bearer {seen_good}"}
LIMITED_SEEN = {"caller": f"serviceAccount:{LIMITED_CALLER}", "authorization": "Bearer {seen_limited}"}
SERVERLESS_SEEN = {"caller": MEMBER, "x-serverless-authorization": "Bearer {seen_good}"}
ANONYMOUS = {"caller": "anonymous"}
PREFLIGHT = ("origin: https://shop.example", "access-control-request-method: POST")


def _good(name: str, **request: object) -> Row:
    return Row(name, 200, **{"headers": (BEARER,), "seen": SEEN, **request})  # type: ignore[arg-type]


TABLE = (
    # The credential.
    Row("none", 403),
    _good("good"),
    _good(
        "scheme in lower case",
        headers=("authorization: bearer {good}",),
        seen=SEEN | {"authorization": "bearer {seen_good}"},
    ),
    Row("bad", 401, ("authorization: Bearer {bad}",)),
    Row("expired", 401, ("authorization: Bearer {expired}",)),
    Row("no permission", 403, ("authorization: Bearer {outsider}",)),
    Row("keys away", 503, ("authorization: Bearer {away}",)),
    Row("another scheme", 401, ("authorization: Basic dXNlcjpwYXNz",)),
    Row("access token", 401, ("authorization: Bearer ya29.a0AfH6SMB",)),
    Row("empty", 401, ("authorization: Bearer",)),
    Row("signature removed already", 401, ("authorization: Bearer {seen_good}",)),
    # More than one.
    Row("doubled", 401, (BEARER, BEARER)),
    Row("good, then another scheme", 401, (BEARER, "authorization: Basic dXNlcjpwYXNz")),
    Row("another scheme, then good", 401, ("authorization: Basic dXNlcjpwYXNz", BEARER)),
    Row("two in one header", 401, ("authorization: Bearer {good}, Bearer {good}",)),
    Row("serverless doubled", 401, (SERVERLESS, SERVERLESS)),
    _good("serverless", headers=(SERVERLESS,), seen=SERVERLESS_SEEN),
    _good(
        "serverless, and a header of the application's own",
        headers=(SERVERLESS, "authorization: Basic dXNlcjpwYXNz"),
        seen=SERVERLESS_SEEN | {"authorization": "Basic dXNlcjpwYXNz"},
    ),
    Row("serverless bad, authorization good", 401, ("x-serverless-authorization: Bearer {bad}", BEARER)),
    # What looks like a credential.
    Row("underscore twin", 403, ("x_serverless_authorization: Bearer {good}",)),
    _good(
        "underscore twin beside a good one", headers=(BEARER, "x_serverless_authorization: Bearer spoofed")
    ),
    _good("identity header", headers=(BEARER, "x-goog-authenticated-user-email: spoofed")),
    _good("identity header with underscores", headers=(BEARER, "x_goog_authenticated_user_email: spoofed")),
    Row("names of the admission", 403, ("doorward.admission: x", "doorward-admission: x")),
    # The method.
    Row("HEAD", 403, method="HEAD"),
    _good("HEAD, good", method="HEAD"),
    Row("OPTIONS", 403, method="OPTIONS", target="/orders/1"),
    Row("preflight that is not exempt", 403, PREFLIGHT, "OPTIONS", "/orders/1"),
    Row("preflight that is exempt", 200, PREFLIGHT, "OPTIONS", seen=ANONYMOUS | {"method": "OPTIONS"}),
    Row("exempt path", 200, target="/healthz", seen=ANONYMOUS | {"handler": "health"}),
    Row("exempt path, HEAD", 403, method="HEAD", target="/healthz"),
    Row("exempt path, with a slash", 403, target="/healthz/"),
    Row(
        "exempt path, identity header",
        200,
        ("x-goog-authenticated-user-email: spoofed", SERVERLESS),
        target="/healthz",
        seen=ANONYMOUS | {"handler": "health"},
    ),
    Row("method of no standard", 403, method="BREW"),
    # The path.
    Row("unknown path", 403, target="/nowhere"),
    Row("unknown path, good", 404, (BEARER,), target="/nowhere", seen=None),
    Row("with a query", 403, target="/orders?token=secret"),
    Row("encoded path", 403, target="/orders/k%C3%A4se"),
    _good("encoded path, good", target="/orders/k%C3%A4se"),
    Row("limited caller, encoded path", 200, (LIMITED,), target="/orders/%E6%B3%A8", seen=LIMITED_SEEN),
    Row("encoded slash", 403, target="/orders/a%2Fb"),
    _good("encoded slash, good", target="/orders/a%2Fb"),
    _good("encoded letter, good", target="/%6frders"),
    Row("encoded letter of an exempt path", 200, target="/%68ealthz", seen=ANONYMOUS | {"handler": "health"}),
    Row("no UTF-8", 403, target="/%FF"),
    Row("markup", 403, target="/%3Cscript%3E"),
    Row("dot segments", 403, target="/orders/../healthz"),
    Row("encoded dot segments", 403, target="/orders/%2e%2e/healthz"),
    Row("limited caller", 200, (LIMITED,), target="/orders/1", seen=LIMITED_SEEN),
    Row("limited caller elsewhere", 403, (LIMITED,), target="/orders"),
    Row("limited caller, dot segments", 403, (LIMITED,), target="/orders/../admin"),
    Row("limited caller, encoded dot segments", 403, (LIMITED,), target="/orders/%2e%2e/admin"),
    Row("limited caller, encoded slash", 403, (LIMITED,), target="/orders/..%2fadmin"),
    Row("limited caller, empty segment", 403, (LIMITED,), target="//orders/1"),
    Row("limited caller, backslash", 403, (LIMITED,), target="/orders/..%5cadmin"),
    Row(
        "limited caller, script name",
        200,
        (LIMITED, "script_name: /orders"),
        target="/orders/healthz",
        seen=LIMITED_SEEN,
    ),
    Row(
        "limited caller, path",
        200,
        (LIMITED, "path_info: /sub/orders"),
        target="/orders/1",
        seen=LIMITED_SEEN,
    ),
    Row("mounted", 403, target="/sub/orders"),
    _good("mounted, good", target="/sub/orders", seen=SEEN | {"handler": "sub"}),
    Row("limited caller, mounted", 403, (LIMITED,), target="/sub/orders"),
    # The body.
    Row("refused body", 403, method="POST", body="one order"),
    Row("refused body that waits for 100", 403, ("expect: 100-continue",), "POST", body="one order"),
    Row("refused chunked body", 403, method="POST", body=("one ", "order")),
    _good("body", method="POST", body="one order"),
    _good("chunked body", method="POST", body=("one ", "order")),
)
"""The requests, in the order in which they are sent: a token is new, and then in the token cache."""

FOLDED_NAMES: Gives = {
    "underscore twin": {"status": 200, "seen": SERVERLESS_SEEN},
    "underscore twin beside a good one": {"status": 401},
}
"""Of what gives names with '_' and with '-' as one and the same."""

NO_CHUNKS: Gives = {"chunked body": {"seen": SEEN | {"body": ""}}}
"""Of what reads no more of a body than Content-Length says."""

SOCKETS = (
    Row("none", 403, target="/live"),
    Row("bad", 401, ("authorization: Bearer {bad}",), target="/live"),
    Row("no permission", 403, ("authorization: Bearer {outsider}",), target="/live"),
    Row("keys away", 503, ("authorization: Bearer {away}",), target="/live"),
    Row("doubled", 401, (BEARER, BEARER), target="/live"),
    Row("path that is exempt for GET", 403, target="/healthz"),
    Row("unknown path", 403, target="/nowhere"),
    Row("good", 101, (BEARER,), target="/live", seen={"caller": MEMBER}),
    Row("serverless", 101, (SERVERLESS,), target="/live", seen={"caller": MEMBER}),
)
"""The openings of websockets."""
