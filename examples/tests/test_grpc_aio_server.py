"""Tests of grpc_aio_server.py. Run them with: pytest."""

from unittest import IsolatedAsyncioTestCase

import grpc
from grpc_aio_server import door, start

from doorward_integrations.testing import as_principal


class OrdersTest(IsolatedAsyncioTestCase):
    async def test_the_caller_gets_in(self):
        server, port = await start("localhost:0")
        async with grpc.aio.insecure_channel(f"localhost:{port}") as plain:
            with as_principal(plain, "caller@doorward-demo.iam.gserviceaccount.com", door=door) as channel:
                assert await channel.unary_unary("/shop.Orders/GetOrder")(b"")
        await server.stop(None)
