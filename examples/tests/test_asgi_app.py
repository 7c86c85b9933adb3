"""Tests of asgi_app.py. Run them with: pytest."""

from unittest import IsolatedAsyncioTestCase

import httpx
from asgi_app import app

from doorward_integrations.testing import as_principal


class OrdersTest(IsolatedAsyncioTestCase):
    async def test_the_caller_gets_in_and_a_request_without_one_does_not(self):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as client:
            with as_principal(client, "caller@doorward-demo.iam.gserviceaccount.com"):
                assert (await client.get("/")).status_code == 200
            assert (await client.get("/")).status_code == 403
