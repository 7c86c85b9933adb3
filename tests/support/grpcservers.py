"""gRPC servers of both kinds on free ports of this machine, and one way to call them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from doorward.door.base import BaseDoor
from doorward_integrations.grpc import AioInvokerInterceptor, InvokerInterceptor

__all__ = ["Serve", "aio_server", "sync_server"]

PATIENCE = 20.0

Add = Callable[[Any], None]
Serve = Callable[..., contextlib.AbstractContextManager[grpc.Channel]]


@contextlib.contextmanager
def sync_server(
    handlers: list[grpc.GenericRpcHandler], door: BaseDoor, add: Add = lambda _: None
) -> Iterator[grpc.Channel]:
    """Serve behind a door with threads, and what is added to the server; yields a channel to it."""
    with ThreadPoolExecutor(4, "test-grpc") as pool:
        server = grpc.server(pool, handlers=handlers, interceptors=[InvokerInterceptor(door)])
        add(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield channel
        finally:
            server.stop(None).wait(PATIENCE)


@contextlib.contextmanager
def aio_server(
    handlers: list[grpc.GenericRpcHandler], door: BaseDoor, add: Add = lambda _: None
) -> Iterator[grpc.Channel]:
    """Do as `sync_server` with `grpc.aio`, in a thread with a loop."""
    ready, ports = threading.Event(), list[int]()
    stop: list[Callable[[], Any]] = []

    async def serve() -> None:
        server = grpc.aio.server(handlers=handlers, interceptors=[AioInvokerInterceptor(door)])
        add(server)
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        ready.set()
        await ended.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="test-grpc-aio", daemon=True)
    thread.start()
    assert ready.wait(PATIENCE), "the server did not start"
    try:
        with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            yield channel
    finally:
        stop[0]()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server did not stop"
