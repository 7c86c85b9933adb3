"""Cold start: the time of an import, and the time until a new process has verified its first token.

Each sample is a new interpreter, timed from its spawning to the line that it prints at the end, so that the
start of the interpreter itself is included; the first row is that start alone. Byte code is compiled before,
as in an installation. The key endpoint is on loopback, in another process, over plain HTTP for all: the TLS
handshake with Google's endpoint is not included.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from harness.endpoint import Endpoint, endpoint
from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, Spread, ratio, rounds, spread
from harness.tokens import AUDIENCE, Key

from doorward import KeyCache
from suites._start_scripts import BARE, FIRST, IMPORTS, UNIT, whole

DELAYS = {0: "keys at once", 20: "keys after 20 ms"}
PEER = "PyJWKClient"


def environment() -> dict[str, str]:
    """Return the environment of the children, without variables that change imports or addresses."""
    dropped = ("PYTHON", "DOORWARD", "GOOGLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "K_SERVICE")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(dropped)} | {
        "PYTHONHASHSEED": "0"
    }


class StartError(RuntimeError):
    """A child failed."""


@dataclass
class Child:
    """A script that new interpreters run.

    Attributes:
        script: Its text.
        environ: Variables to add to its environment.
        modules: Modules loaded at its end, in the last run.
        peaks: The peak memory of each run, in MiB.
    """

    script: str
    environ: Mapping[str, str] = field(default_factory=dict)
    modules: int = 0
    peaks: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Run it once; return the seconds from the spawning to the end of the work."""
        command = [sys.executable, "-c", self.script]
        environ = environment() | self.environ
        began = time.perf_counter()
        # Without close_fds it is posix_spawn, whose time does not depend on the size of this process.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, close_fds=False, bufsize=0
        ) as child:
            line = _line(child)
            took = time.perf_counter() - began
            rest, errors = child.communicate(timeout=60)
        if line != b"ready\n":
            raise StartError(errors.decode()[-500:])
        modules, peak = rest.split()
        self.modules = int(modules)
        self.peaks.append(int(peak) / 1024)
        return took


def _line(child: subprocess.Popen[bytes]) -> bytes:
    assert child.stdout is not None
    return os.read(child.stdout.fileno(), len(b"ready\n"))


def imports(runs: int) -> list[Figure]:
    """Measure the imports."""
    children = {name: Child(whole(statement)) for name, statement in IMPORTS.items()}
    taken = rounds(children, runs)
    bare = taken[BARE]
    own = {
        name: [max(one - start, 0.0) for one, start in zip(taken[name], bare, strict=True)] for name in taken
    }
    loading = [name for name in children if name != BARE]
    return [
        *(Figure.of("import: time", name, "ms", milliseconds(taken[name])) for name in children),
        *(Figure.of("import: beside jwt", name, "of it", ratio(own[name], own[UNIT])) for name in loading),
        *(
            exact("import: modules", name, "modules", children[name].modules - children[BARE].modules)
            for name in loading
        ),
        *(
            Figure.of("import: memory", name, "MiB at most", spread(children[name].peaks))
            for name in children
        ),
    ]


def milliseconds(seconds: Sequence[float]) -> Spread:
    return spread([one * 1000 for one in seconds])


def exact(group: str, contender: str, unit: str, value: float) -> Figure:
    return Figure(group, contender, unit, value, value, value)


def certificates(key: Key) -> bytes:
    """Return the key in the form of Google's older endpoint: certificates by key id."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "federated-signon.example.com")])
    now = datetime.now(UTC)
    assert isinstance(key.private, rsa.RSAPrivateKey)
    made = (
        x509.CertificateBuilder(name, name, key.private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=15))
        .sign(key.private, SHA256())
    )
    return json.dumps({key.kid: made.public_bytes(Encoding.PEM).decode()}).encode()


def refuse_what_is_bad(child: Callable[[str], Child], name: str, key: Key) -> None:
    """Check that a contender accepts a good token and refuses bad ones.

    Raises:
        AssertionError: If it accepts a bad one.
    """
    now = int(time.time())
    child(key.token())()
    bad = {
        "a bad signature": Key(kid=key.kid).token(),
        "an expired token": key.token(iat=now - 7200, exp=now - 3600),
        "another audience": key.token(aud="https://other.example.com"),
        "another issuer": key.token(iss="https://issuer.example.com"),
    }
    for what, token in bad.items():
        try:
            child(token)()
        except StartError:
            continue
        raise AssertionError(f"{name} accepts {what}")


def snapshot(url: str, path: Path) -> None:
    """Write a snapshot, as an earlier process would have done."""
    KeyCache(url, snapshot=path).warm()
    until = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < until, "no snapshot was written"
        time.sleep(0.01)


def counting(name: str, child: Child, keys: Endpoint) -> Sample:
    """Measure a child, and check the number of its requests for keys."""

    def sample() -> float:
        before = keys.requests
        took = child()
        asked = keys.requests - before
        assert asked == FIRST[name].asks, f"{name} has asked {asked} times for keys"
        return took

    return sample


def first_tokens(runs: int) -> list[Figure]:
    """Measure the time from the start of a process to its first verified token."""
    key = Key()
    bodies = {"jwks": key.jwks, "certificates": certificates(key)}
    with endpoint(bodies) as keys, tempfile.TemporaryDirectory(prefix="doorward-start-") as folder:

        def child(name: str, delay: int, token: str) -> Child:
            script = FIRST[name]
            url = keys.url(script.keys, delay)
            given = {"TOKEN": token, "KEYS": url, "AUDIENCE": AUDIENCE}
            return Child(whole(script.body), given | {"SNAPSHOT": str(Path(folder, str(delay)))})

        for delay in DELAYS:
            snapshot(keys.url("jwks", delay), Path(folder, str(delay)))
        for name in FIRST:
            refuse_what_is_bad(lambda token, name=name: child(name, 0, token), name, key)
        token = key.token()
        children = {(name, delay): child(name, delay, token) for name in FIRST for delay in DELAYS}
        samples = {f"{name} {delay}": counting(name, one, keys) for (name, delay), one in children.items()}
        taken = rounds(samples, runs)
    return first_figures(taken, {name: children[name, 0].peaks for name in FIRST})


def first_figures(taken: Mapping[str, Sequence[float]], peaks: Mapping[str, Sequence[float]]) -> list[Figure]:
    """Return the results of `first_tokens`: the times, their ratios to those of `PEER`, and the memory."""
    group = "first verified token"
    cells = [(name, delay, column) for name in FIRST for delay, column in DELAYS.items()]
    beside = {
        (name, delay): ratio(taken[f"{name} {delay}"], taken[f"{PEER} {delay}"]) for name, delay, _ in cells
    }
    return [
        *(
            Figure.of(group, name, "ms", milliseconds(taken[f"{name} {delay}"]), FIRST[name].note, column)
            for name, delay, column in cells
        ),
        *(
            Figure.of(f"{group}: beside {PEER}", name, "of it", beside[name, delay], column=column)
            for name, delay, column in cells
        ),
        *(Figure.of(f"{group}: memory", name, "MiB at most", spread(peaks[name])) for name in FIRST),
    ]


def explain(name: str, most: int = 20) -> str:
    """List the most expensive imports of a contender, each without the imports that it causes."""
    child = [sys.executable, "-X", "importtime", "-c", IMPORTS[name]]
    done = subprocess.run(child, capture_output=True, text=True, check=True, env=environment())
    lines = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines()]
    times = [(int(own), int(both), module.strip()) for own, both, module in lines if own.strip().isdigit()]
    listed = sorted(times, reverse=True)[:most]
    head = f"\n{IMPORTS[name]!r}: {sum(own for own, _, _ in times) / 1000:.1f} ms in {len(times)} modules"
    return "\n".join(
        [head, *(f"{own / 1000:8.2f} ms {both / 1000:8.2f} ms  {module}" for own, both, module in listed)]
    )


def main() -> None:
    """Measure, or explain."""
    parser = Report.arguments(__doc__, runs=25)
    parser.add_argument("--explain", action="store_true", help="list the most expensive imports instead")
    chosen = parser.parse_args()
    if chosen.explain:
        print("Each import without the imports that it causes, and with them:")
        for name in (UNIT, "doorward", "google-auth"):
            print(explain(name))
        return
    packages = [
        "doorward",
        "cryptography",
        "PyJWT",
        "google-auth",
        "requests",
        "httpx",
        "starlette",
        "fastapi",
    ]
    report = Report("start", chosen.runs, versions_of(packages))
    report.facts = {"a sample": "a fresh process", "machine": platform.machine()}
    report.figures = imports(chosen.runs) + first_tokens(chosen.runs)
    report.finish(save=chosen.save)


if __name__ == "__main__":
    main()
