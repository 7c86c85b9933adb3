"""Tests of fastapi_calling.py. Run them with: pytest."""

from fastapi.testclient import TestClient
from fastapi_calling import app

from doorward_integrations.testing import as_principal, assert_refused

client = TestClient(app)


def test_the_caller_gets_in():
    with as_principal(client, "caller@doorward-demo.iam.gserviceaccount.com"):
        assert client.get("/").json() == "Hello, serviceAccount:caller@doorward-demo.iam.gserviceaccount.com"


def test_another_caller_does_not_reach_the_stock():
    with as_principal(client, "outsider@doorward-demo.iam.gserviceaccount.com"):
        assert_refused(client.get("/stock"), "permission_denied")
