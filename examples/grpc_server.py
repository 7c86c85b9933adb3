"""A gRPC server with threads behind the door. Run it with: python grpc_server.py."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.grpc import HEALTH, InvokerInterceptor, current_principal

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
    exempt=HEALTH,
)


def get_order(request, context):
    return f"Hello, {current_principal()}".encode()


methods = {"GetOrder": grpc.unary_unary_rpc_method_handler(get_order)}


def start(address):
    server = grpc.server(ThreadPoolExecutor(), interceptors=[InvokerInterceptor(door)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Orders", methods)])
    port = server.add_insecure_port(address)
    server.start()
    return server, port


if __name__ == "__main__":
    server, _ = start(f"[::]:{os.environ.get('PORT', '8080')}")
    server.wait_for_termination()
