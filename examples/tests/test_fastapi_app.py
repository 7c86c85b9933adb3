"""Tests of fastapi_app.py. Run them with: pytest."""

from fastapi.testclient import TestClient
from fastapi_app import app

from doorward_integrations.testing import as_principal, assert_refused

client = TestClient(app)


def test_the_caller_gets_in():
    with as_principal(client, "caller@doorward-demo.iam.gserviceaccount.com"):
        assert client.get("/").json() == "Hello, serviceAccount:caller@doorward-demo.iam.gserviceaccount.com"


def test_another_caller_does_not():
    with as_principal(client, "outsider@doorward-demo.iam.gserviceaccount.com"):
        assert_refused(client.get("/"), "permission_denied")
