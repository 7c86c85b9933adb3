"""Tests of aiohttp_app.py. Run them with: pytest."""

from unittest import IsolatedAsyncioTestCase

from aiohttp.test_utils import TestClient, TestServer
from aiohttp_app import app

from doorward_integrations.testing import as_principal


class OrdersTest(IsolatedAsyncioTestCase):
    async def test_the_caller_gets_in_and_a_request_without_one_does_not(self):
        async with TestClient(TestServer(app)) as client:
            with as_principal(client, "caller@doorward-demo.iam.gserviceaccount.com"):
                assert (await client.get("/")).status == 200
            assert (await client.get("/")).status == 403
