"""Tests of mcp_server.py. Run them with: pytest."""

from mcp_server import app
from starlette.testclient import TestClient

from doorward_integrations.testing import as_principal

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "greet", "arguments": {}}}


def test_the_caller_gets_in_and_a_request_without_one_does_not():
    with TestClient(app, headers={"accept": "application/json, text/event-stream"}) as client:
        with as_principal(client, "caller@doorward-demo.iam.gserviceaccount.com"):
            assert client.post("/mcp", json=CALL).status_code == 200
        assert client.post("/mcp", json=CALL).status_code == 403
