"""A gRPC server with an event loop behind the door. Run it with: python grpc_aio_server.py."""

import asyncio
import os

import grpc

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.grpc import HEALTH, AioInvokerInterceptor, current_principal

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
    exempt=HEALTH,
)


async def get_order(request, context):
    return f"Hello, {current_principal()}".encode()


methods = {"GetOrder": grpc.unary_unary_rpc_method_handler(get_order)}


async def start(address):
    server = grpc.aio.server(interceptors=[AioInvokerInterceptor(door)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Orders", methods)])
    port = server.add_insecure_port(address)
    await server.start()
    return server, port


async def serve():
    server, _ = await start(f"[::]:{os.environ.get('PORT', '8080')}")
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
