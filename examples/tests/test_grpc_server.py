"""Tests of grpc_server.py. Run them with: pytest."""

import grpc
from grpc_server import door, start

from doorward_integrations.testing import as_principal


def test_the_caller_gets_in():
    server, port = start("localhost:0")
    with grpc.insecure_channel(f"localhost:{port}") as plain:
        with as_principal(plain, "caller@doorward-demo.iam.gserviceaccount.com", door=door) as channel:
            get_order = channel.unary_unary("/shop.Orders/GetOrder")
            assert get_order(b"") == b"Hello, serviceAccount:caller@doorward-demo.iam.gserviceaccount.com"
    server.stop(None).wait()
