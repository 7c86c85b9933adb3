"""The soak: two real servers, judged without a pause while keys, policy and machine go wrong.

Run as ``python tests/operation/soak/run.py --seconds 60``. The last line says how many answers were wrong,
how many good requests were refused, and how many faults were survived. It ends with 1 if any answer was not
right, or a fault was not survived.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS))

from operation.soak.judge import Fact, Tally  # noqa: E402 - found by the line above
from operation.soak.phases import MEMBERS, Conductor  # noqa: E402
from operation.soak.stream import Keys, Stream  # noqa: E402
from operation.soak.watch import Watch  # noqa: E402
from operation.soak.world import KeyEndpoint, PolicyFile  # noqa: E402
from support.tokens import SigningKey  # noqa: E402

ROUND = 60.0
SERVERS = {
    "uvicorn": ["uvicorn", "--factory", "operation.soak.apps:fastapi_app", "--log-level", "error", "--port"],
    "gunicorn": [
        *(
            "gunicorn",
            "operation.soak.apps:flask_app()",
            "--workers",
            "2",
            "--threads",
            "8",
            "--keep-alive",
            "30",
        ),
        *("--graceful-timeout", "1", "--log-level", "critical", "--no-control-socket", "--bind"),
    ],
}


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def server(
    name: str, folder: Path, start: float, keys: str, policy: Path, *, snapshot: Path | None
) -> Iterator[tuple[str, int]]:
    """Serve one of the applications; gives its base URL and its first process."""
    port = free_port()
    address = str(port) if name == "uvicorn" else f"127.0.0.1:{port}"
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
        "SOAK_START": repr(start),
        "SOAK_KEYS": keys,
        "SOAK_POLICY": str(policy),
    } | ({} if snapshot is None else {"SOAK_SNAPSHOT": str(snapshot)})
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *SERVERS[name], address], cwd=TESTS, env=environ, stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_listening(base: str) -> None:
    """Wait until a server takes connections."""
    host, _, port = base.removeprefix("http://").partition(":")
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            assert time.monotonic() < end, f"nothing listens at {base}"
            time.sleep(0.05)
        else:
            return


def soak(seconds: float, folder: Path) -> tuple[Tally, Watch, dict[str, bool]]:
    """Run the soak for about so many seconds, in whole rounds."""
    start, first = time.time(), SigningKey("key-1")
    endpoint, policy = KeyEndpoint(first), PolicyFile(folder / "policy.json", *MEMBERS)
    tally, survived = Tally(), dict[str, bool]()
    with ExitStack() as stack:
        url = stack.enter_context(endpoint.serve())
        served = {
            name: stack.enter_context(
                server(name, folder, start, url, policy.path, snapshot=folder / f"{name}.keys")
            )
            for name in SERVERS
        }
        pids = {name: pid for name, (_, pid) in served.items()}
        bases = {name: base for name, (base, _) in served.items()}
        stream = Stream(start, bases, Keys(first), Fact(value=False), tally)
        stream.await_servers()
        watch = Watch(pids)
        work = [threading.Thread(target=watch.run, daemon=True), *stream.run()]
        work[0].start()

        @contextmanager
        def start_cold() -> Iterator[str]:
            with server("uvicorn", folder, start, url, policy.path, snapshot=None) as (base, _):
                await_listening(base)
                yield base

        conductor = Conductor(stream, endpoint, policy, pids, survived, start_cold)
        began = time.monotonic()
        for _ in range(max(1, round(seconds / ROUND))):
            conductor.round()
        print(f"{time.monotonic() - began:.0f} s, {endpoint.fetches} fetches of keys")
        stream.end()
        watch.end()
        for thread in work:
            thread.join(20)
    return tally, watch, survived


def report(tally: Tally, watch: Watch, survived: dict[str, bool], folder: Path) -> int:
    """Print what was seen, and return the exit status."""
    print(f"\n{'phase':<42}{'answers':>8}{'not right':>13}   p99 of known tokens, ms")
    for phase, counts in tally.verdicts.items():
        slow = ", ".join(f"{name} {tally.p99(phase, name) * 1000:.0f}" for name in SERVERS)
        others = " ".join(f"{verdict} {number}" for verdict, number in counts.items() if verdict != "right")
        print(f"{phase:<42}{sum(counts.values()):>8}{others or '-':>13}   {slow}")
    for name in SERVERS:
        log = (folder / f"{name}.log").stat().st_size
        print(f"{name}: {watch.report(name)}, log {log >> 10} KiB")
    for verdict, examples in tally.examples.items():
        if verdict != "cut off":
            print(*(f"{verdict}: {one}" for one in examples), sep="\n")
    for name, right in survived.items():
        if not right:
            print(f"not survived: {name}")
    wrong, refused, odd = (tally.count(verdict) for verdict in ("wrong", "refused", "odd"))
    broken, answers = tally.count("broken"), sum(sum(counts.values()) for counts in tally.verdicts.values())
    print(f"{answers:,} answers judged, {odd} odd, {broken} missing")
    held = f"{sum(survived.values())} of {len(survived)}"
    print(f"wrong {wrong}, refused though good {refused}, faults survived {held}")
    return 1 if wrong or refused or odd or broken or not all(survived.values()) else 0


def main() -> int:
    """Run the soak from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=ROUND)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="doorward-soak-") as folder:
        return report(*soak(chosen.seconds, Path(folder)), Path(folder))


if __name__ == "__main__":
    sys.exit(main())
