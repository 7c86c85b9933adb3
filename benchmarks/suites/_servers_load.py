"""Load from wrk, and its outcome."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from suites._servers_process import Server, cpu_time

__all__ = ["CONNECTIONS", "Outcome", "Wrk"]

CONNECTIONS: Final = 32

# All requests are built before the first is sent, one for each line of the file: wrk does the same work for
# each request, with one token or with 10,000.
_SCRIPT = r"""
local requests, turn = {}, 0

function init(arguments)
  for token in io.lines(arguments[1]) do
    requests[#requests + 1] = "GET / HTTP/1.1\r\nHost: " .. arguments[2] .. "\r\n" ..
      "User-Agent: python-requests/2.32\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n" ..
      "Authorization: Bearer " .. token .. "\r\n" ..
      "X-Cloud-Trace-Context: 105445aa7843bc8bf206b12000100000/1;o=1\r\n\r\n"
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary)
  local errors = summary.errors
  io.write(string.format('\n{"requests": %d, "microseconds": %d', summary.requests, summary.duration))
  for _, kind in ipairs({"connect", "read", "write", "status", "timeout"}) do
    io.write(string.format(', "%s": %d', kind, errors[kind]))
  end
  io.write("}\n")
end
"""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run against one server.

    Attributes:
        per_second: Answered requests per second.
        cpu: Microseconds of CPU that the server used for one request.
        server_busy: The share of its core that the server used, 0 to 1.
        wrk_busy: The share of its core that wrk used, 0 to 1.
    """

    per_second: float
    cpu: float
    server_busy: float
    wrk_busy: float


class Wrk:
    """wrk, with its script and its settings."""

    def __init__(self, directory: Path, seconds: int, host: str) -> None:
        """Write the script.

        Args:
            directory: The folder of the script.
            seconds: The duration of one run.
            host: The ``Host`` of the requests.
        """
        self.script = directory / "requests.lua"
        self.script.write_text(_SCRIPT)
        self.seconds = seconds
        self.host = host

    @staticmethod
    def program() -> str | None:
        """Return its path; None if it is not installed."""
        return shutil.which("wrk")

    def run(self, server: Server, tokens: Path) -> Outcome:
        """Send requests for one run, from the core that this process is on.

        Args:
            server: The server.
            tokens: A file of tokens, one a line; requests carry them in turn.

        Raises:
            RuntimeError: If a request failed, or was answered with anything but success.
        """
        program = self.program()
        assert program is not None
        pids = server.members()
        spent, used = _children(), cpu_time(pids)
        found = subprocess.run(
            [program, *self._settings(), f"http://127.0.0.1:{server.port}/", "--", str(tokens), self.host],
            check=True,
            capture_output=True,
            text=True,
        )
        used, spent = cpu_time(pids) - used, _children() - spent
        errors = json.loads(found.stdout.splitlines()[-1])
        requests, seconds = errors.pop("requests"), errors.pop("microseconds") / 1e6
        if any(errors.values()) or not requests:
            printed = server.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{requests} requests, with these errors: {errors}\n{printed}")
        if server.members() != pids:
            raise RuntimeError("the server has started or lost a process under load")
        server.settle()
        return Outcome(requests / seconds, used / 1e3 / requests, used / 1e9 / seconds, spent / seconds)

    def _settings(self) -> Sequence[str]:
        return (
            *("--threads", "1", "--connections", str(CONNECTIONS)),
            *("--duration", f"{self.seconds}s", "--timeout", "10s", "--script", os.fspath(self.script)),
        )


def _children() -> float:
    """Return the seconds of CPU of the child processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
