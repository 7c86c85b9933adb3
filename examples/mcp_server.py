"""An MCP server behind the door. Run it with: uvicorn mcp_server:app."""

from mcp.server.mcpserver import Context, MCPServer

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.starlette import Invoker, principal_of

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)

server = MCPServer("orders")


@server.tool()
def greet(context: Context) -> str:
    return f"Hello, {principal_of(context.request_context.request)}"


app = server.streamable_http_app(stateless_http=True, json_response=True, host="0.0.0.0")
Invoker(app, door)
