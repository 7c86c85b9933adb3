"""The kit works in a test and nowhere else."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import textwrap
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doorward import ConfigurationError
from doorward_integrations.testing import running
from support.servers import asgi_server

SERVICE = """
    from doorward import ConfigurationError, Door, InvokerPolicy, Verifier
    from doorward_integrations.testing import MemoryIssuer, as_principal

    door = Door(Verifier("https://orders.example"), InvokerPolicy.from_members(["user:ann@example.com"]))

    def tried():
        for call in (lambda: as_principal(door, "ann@example.com").__enter__(), MemoryIssuer):
            try:
                call()
            except ConfigurationError as error:
                yield str(error)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": "\\n".join(tried()).encode()})
"""


def run(code: str, tmp_path: Path, *arguments: str) -> str:
    (tmp_path / "service.py").write_text(textwrap.dedent(SERVICE))
    (tmp_path / "run.py").write_text(textwrap.dedent(code))
    command = [sys.executable, *(arguments or ["run.py"])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_it_works_here() -> None:
    running.require("this")


def test_it_works_in_a_fixture(in_fixture: str) -> None:
    assert in_fixture


@pytest.fixture
def in_fixture() -> str:
    running.require("this")
    return "allowed"


@pytest.fixture
def at_the_end() -> Iterator[None]:
    yield
    running.require("this")


def test_it_works_in_the_end_of_a_fixture(at_the_end: None) -> None: ...


def test_it_works_in_another_thread_of_a_test() -> None:
    found: list[BaseException] = []

    def ask() -> None:
        try:
            running.require("this")
        except ConfigurationError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert [] == found


class TestOfUnittest(unittest.TestCase):
    def setUp(self) -> None:
        running.require("this")

    def test_it_works_in_a_test_case(self) -> None:
        running.require("this")


def test_it_works_in_unittest_without_pytest(tmp_path: Path) -> None:
    code = """
        import unittest
        from doorward_integrations.testing import as_principal
        from service import door

        class Test(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                with as_principal(door, "ann@example.com"):
                    assert door.admit([]).principal.email == "ann@example.com"

            def test_a(self):
                with as_principal(door, "ann@example.com"):
                    assert door.admit([]).principal.email == "ann@example.com"

        class TestLoop(unittest.IsolatedAsyncioTestCase):
            async def test_b(self):
                with as_principal(door, "ann@example.com"):
                    assert (await door.aadmit([])).principal.email == "ann@example.com"
    """
    assert "Ran 2 tests" in (out := run(code, tmp_path, "-m", "unittest", "run.py"))
    assert "OK" in out


def test_it_refuses_in_a_process_without_a_test(tmp_path: Path) -> None:
    out = run("from service import tried\nprint(*tried(), sep='\\n')", tmp_path)
    assert 2 == out.count("is for tests, and no test is running here")


def test_it_refuses_where_pytest_is_only_imported(tmp_path: Path) -> None:
    out = run("import pytest, unittest\nfrom service import tried\nprint(*tried(), sep='\\n')", tmp_path)
    assert 2 == out.count("no test is running here")


def test_no_variable_of_the_environment_turns_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION", "DOORWARD_TESTING", "DOORWARD_EMULATOR_HOST"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    out = run("from service import tried\nprint(*tried(), sep='\\n')", tmp_path)
    assert 2 == out.count("no test is running here")


def test_it_says_so_in_a_process_that_uvicorn_serves(tmp_path: Path) -> None:
    code = """
        import threading, uvicorn, urllib.request
        from service import app

        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))

        class Asked(uvicorn.Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                port = self.servers[0].sockets[0].getsockname()[1]
                def ask():
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                        print(answer.read().decode())
                    self.should_exit = True
                threading.Thread(target=ask).start()

        Asked(uvicorn.Config(app, port=0, log_level="error")).run()
    """
    assert 2 == run(code, tmp_path).count("this code is called by uvicorn, which serves")


def test_a_server_in_the_process_of_a_test_is_refused_too() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        try:
            running.require("this")
            body = b"allowed"
        except ConfigurationError as error:
            body = str(error).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with asgi_server(app) as base:
        assert "called by uvicorn, which serves" in httpx.get(base, trust_env=False).text


def _in_child(found: multiprocessing.Queue[str]) -> None:
    try:
        running.require("this")
        found.put("allowed")
    except ConfigurationError as error:
        found.put(str(error))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_of_multiprocessing_is_refused(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    found: multiprocessing.Queue[str] = context.Queue()
    child = context.Process(target=_in_child, args=(found,))
    child.start()
    answer = found.get(timeout=60)
    child.join(60)
    assert "is for tests" in answer
