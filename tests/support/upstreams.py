"""Upstreams of three kinds, each of which says what it has seen: uvicorn, gunicorn and Node."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward_integrations.emulator import LoopbackServer
from support.servers import gunicorn

__all__ = ["SEEN", "UPSTREAMS", "wsgi"]

SEEN = "/--seen"
"""The path that answers with all other requests so far, as JSON, and forgets them."""

_seen: list[dict[str, Any]] = []
_NODE = """
const seen = [];
const server = require("http").createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    if (request.url === "/--seen") return response.end(JSON.stringify(seen.splice(0)));
    const body = Buffer.concat(pieces).toString("latin1");
    const one = { method: request.method, target: request.url, host: request.headers.host || "", body };
    seen.push(one);
    response.end(JSON.stringify(one));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


def _answer(one: dict[str, Any]) -> bytes:
    if one["target"] == SEEN:
        found = json.dumps(_seen).encode()
        _seen.clear()
        return found
    _seen.append(one)
    return json.dumps(one).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with what was seen, as a WSGI application."""
    one = {
        "method": environ["REQUEST_METHOD"],
        "target": environ["RAW_URI"],
        "host": environ.get("HTTP_HOST", ""),
        "body": environ["wsgi.input"].read().decode("latin-1"),
    }
    answer = _answer(one)
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    one = {
        "method": scope["method"],
        "target": (scope["raw_path"] + query).decode("latin-1"),
        "host": host.decode("latin-1"),
        "body": body.decode("latin-1"),
    }
    answer = _answer(one)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(answer))],
        }
    )
    await send({"type": "http.response.body", "body": answer})


@contextlib.contextmanager
def _uvicorn(folder: Path) -> Iterator[str]:
    del folder
    _seen.clear()
    with LoopbackServer(_asgi) as server:
        yield server.url


@contextlib.contextmanager
def _gunicorn(folder: Path) -> Iterator[str]:
    del folder
    with gunicorn("support.upstreams:wsgi", {}) as url:
        yield url


@contextlib.contextmanager
def _node(folder: Path) -> Iterator[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: one of the upstreams is a server of Node's")
    script = folder / "upstream.js"
    script.write_text(_NODE)
    with subprocess.Popen([node, script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


UPSTREAMS: dict[str, Callable[[Path], contextlib.AbstractContextManager[str]]] = {
    "uvicorn": _uvicorn,
    "gunicorn": _gunicorn,
    "node": _node,
}
