"""Tests of django_app.py. Run them with: pytest."""

import django_app  # noqa: F401 - sets Django up
from django.test import Client

from doorward_integrations.testing import as_principal, assert_refused

client = Client()


def test_the_caller_gets_in():
    with as_principal(client, "caller@doorward-demo.iam.gserviceaccount.com"):
        assert client.get("/").status_code == 200


def test_another_caller_does_not():
    with as_principal(client, "outsider@doorward-demo.iam.gserviceaccount.com"):
        assert_refused(client.get("/"), "permission_denied")
