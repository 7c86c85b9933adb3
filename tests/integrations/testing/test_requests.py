"""How each known client sends one request with doubled headers."""

from __future__ import annotations

from typing import Any

import flask
import httpx
import pytest
import requests
from requests.adapters import BaseAdapter

from doorward import ConfigurationError
from doorward_integrations.testing.requests import send

TWICE = [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]


def test_flask_and_httpx_send_both() -> None:
    app = flask.Flask("orders")
    app.add_url_rule("/", "orders", lambda: flask.request.headers["x-a"], methods=["PUT"])
    echo = httpx.MockTransport(lambda request: httpx.Response(200, text=request.headers["x-a"]))
    with httpx.Client(transport=echo, base_url="http://orders") as client:
        assert "1,3" == send(client, "PUT", "/", TWICE).text.replace(" ", "")
    assert "1,3" == send(app.test_client(), "PUT", "/", TWICE).text.replace(" ", "")


def test_requests_which_cannot_send_both_sends_them_joined() -> None:
    class Kept(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            sent.append(request)
            answer = requests.Response()
            answer.status_code = 200
            return answer

        def close(self) -> None:
            pass

    sent: list[requests.PreparedRequest] = []
    with requests.Session() as session:
        session.mount("http://", Kept())
        send(session, "PUT", "http://orders/", TWICE)

    assert [("PUT", "1, 3", "2")] == [(one.method, one.headers["x-a"], one.headers["x-b"]) for one in sent]


@pytest.mark.parametrize("one", [object(), None, "client"], ids=["object", "none", "text"])
def test_nothing_else_is_sent_with(one: object) -> None:
    with pytest.raises(ConfigurationError, match="is no client that is known"):
        send(one, "GET", "/", TWICE)
