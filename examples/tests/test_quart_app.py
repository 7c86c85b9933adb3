"""Tests of quart_app.py. Run them with: pytest."""

from quart_app import app
from starlette.testclient import TestClient

from doorward_integrations.testing import as_principal, assert_refused

client = TestClient(app)


def test_the_caller_gets_in():
    with as_principal(client, "caller@doorward-demo.iam.gserviceaccount.com"):
        assert client.get("/").text == "Hello, serviceAccount:caller@doorward-demo.iam.gserviceaccount.com"


def test_another_caller_does_not():
    with as_principal(client, "outsider@doorward-demo.iam.gserviceaccount.com"):
        assert_refused(client.get("/"), "permission_denied")
