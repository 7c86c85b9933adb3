"""Node's contenders: installed when they are first needed, and measured in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.tokens import AUDIENCE, ISSUER

from peers.contender import Given, specimens

__all__ = ["BARE", "CONTENDERS", "Node", "node"]

SOURCE = Path(__file__).parent / "node"
PLACE = Path(__file__).parents[2] / ".venvs" / "node"
"""The folder in which the packages of ``package-lock.json`` are installed; git ignores it."""

BARE = "bare verify"
ONE_KEY = "one key, whatever the key id says"
EXPIRY = "the presence of an expiry is checked around it"
CONTENDERS = {
    "fast-jwt": ONE_KEY,
    "fast-jwt, cache": ONE_KEY,
    "aws-jwt-verify": f"verifySync; the key set is in memory; {EXPIRY}",
    "jose": "awaited; verifies in another thread; the key set is in memory",
    "google-auth-library": "awaited; reads the certificate each time; certificates are in memory",
    BARE: "the unit in Node: to compare its contenders with",
}
"""Names and notes."""


class Node:
    """The process, or the reason why there is none.

    Attributes:
        missing: That reason; empty if there is a process.
        versions: The versions of Node and of its packages.
    """

    def __init__(self, process: subprocess.Popen[str] | None, missing: str = "") -> None:
        self._process = process
        self.missing = missing
        self.versions: dict[str, str] = {}

    def ask(self, **question: object) -> dict[str, Any]:
        """Send one question and return its answer; ``peers.mjs`` describes the questions."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"error": "Node has ended"}')
        if "error" in answer:
            raise RuntimeError(f"Node, asked {question}: {answer['error']}")
        return answer

    def seconds(self, contender: str, case: str, calls: int, *, again: bool) -> float:
        """Measure one contender once.

        Args:
            contender: Its name.
            case: The name of the tokens.
            calls: The number of verifications.
            again: Whether they are all of one token, which it has seen before.

        Returns:
            Seconds per call.
        """
        return float(self.ask(contender=contender, case=case, calls=calls, again=again)["seconds"])

    def accepted(self, contender: str, alg: str) -> list[str]:
        """Return which of the specimens a contender accepts."""
        return list(self.ask(contender=contender, check=alg)["accepted"])


def install() -> str:
    """Install the packages if they are not there.

    Returns:
        Why that is impossible; empty if they are installed.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node is not installed"
    PLACE.mkdir(parents=True, exist_ok=True)
    done, lock = PLACE / "installed.json", (SOURCE / "package-lock.json").read_bytes()
    shutil.copy(SOURCE / "peers.mjs", PLACE)
    if done.exists() and done.read_bytes() == lock:
        return ""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, PLACE)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    print("installing Node's contenders ...", file=sys.stderr)
    made = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, check=False)
    if made.returncode:
        print(made.stderr[-1000:], file=sys.stderr)
        return "npm could not install it"
    done.write_bytes(lock)
    return ""


def versions() -> dict[str, str]:
    """Return the versions of Node and of the installed packages."""
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    wanted = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    packages = {
        name: json.loads((PLACE / "node_modules" / name / "package.json").read_text(encoding="utf-8"))
        for name in wanted
    }
    return {"Node": found.strip().removeprefix("v")} | {
        name: one["version"] for name, one in packages.items()
    }


@contextmanager
def node(given: Mapping[str, Given], cases: Mapping[str, tuple[str, Sequence[str]]]) -> Iterator[Node]:
    """Start the process.

    Args:
        given: The key of each algorithm.
        cases: Tokens that were never seen, by name, each with its algorithm.

    Yields:
        The process, or the reason why there is none.
    """
    if reason := install():
        yield Node(None, reason)
        return
    settings = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "keys": {
            alg: {"jwks": json.loads(one.key.jwks), "pem": one.pem, "certificates": one.certificates}
            for alg, one in given.items()
        },
        "cases": {
            name: {"alg": alg, "tokens": list(tokens), "other": given[alg].key.token(10**9)}
            for name, (alg, tokens) in cases.items()
        },
        "checks": {alg: specimens(one.key) for alg, one in given.items()},
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NODE")}
    with tempfile.TemporaryDirectory(prefix="doorward-node-") as folder:
        file = Path(folder, "given.json")
        file.write_text(json.dumps(settings), encoding="utf-8")
        with subprocess.Popen(
            ["node", PLACE / "peers.mjs", file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        ) as process:
            running = Node(process)
            running.versions = versions()
            try:
                yield running
            finally:
                process.kill()
