"""The emulator: from its start to its ready line, and the ID tokens that it mints on one core.

A start is a new process, timed from its spawning to the line that it prints; beside it stands a process that
only imports what the emulator is served with. Minting is measured in the processor time of one thread, beside
the bare RSA signature that each token needs, over as many bytes.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, ratio, rounds, spread
from harness.tokens import AUDIENCE

from doorward_integrations.emulator import EmulatedIssuer, SigningKey
from suites.start import environment, milliseconds

IMPORTS = "import starlette, uvicorn"
CALLS = 200
UNIT = "one RSA signature"
DOORWARD = "from doorward_integrations.cli.main import main; main()"
STARTS = {
    IMPORTS: [sys.executable, "-c", f"{IMPORTS}\nprint('ready', flush=True)\ninput()"],
    "doorward emulator start": [sys.executable, "-c", DOORWARD, "emulator", "start", "--port", "0"],
    "doorward emulator exec": [sys.executable, "-c", DOORWARD, "emulator", "exec", "--", "echo", "ready"],
    "doorward emulator exec --intercept": [
        *(sys.executable, "-c", DOORWARD, "emulator", "exec", "--intercept", "--", "echo", "ready"),
    ],
}
NOTES = {
    IMPORTS: "serves nothing",
    "doorward emulator exec": "to the first line of the command",
    "doorward emulator exec --intercept": "to the first line of the command",
}


def started(command: list[str]) -> float:
    """Start a process; return the seconds from the spawning to its first line."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment(), close_fds=False, bufsize=0, **pipes) as process:
        assert process.stdout is not None
        line = os.read(process.stdout.fileno(), 100)
        took = time.perf_counter() - began
        assert line.endswith(b"\n"), f"{command} has not said that it is ready"
        process.terminate()
        process.communicate(timeout=60)
    return took


def starts(runs: int) -> list[Figure]:
    """Measure the starts."""
    samples: dict[str, Sample] = {name: (lambda one=one: started(one)) for name, one in STARTS.items()}
    taken = rounds(samples, runs)
    group = "start to the ready line"
    return [
        *(Figure.of(group, name, "ms", milliseconds(taken[name]), NOTES.get(name, "")) for name in STARTS),
        *(
            Figure.of(f"{group}: beside the imports", name, "of it", ratio(taken[name], taken[IMPORTS]))
            for name in STARTS
            if name != IMPORTS
        ),
    ]


def processor_time(work: Callable[[], object]) -> Sample:
    """Return a sample: the seconds of this thread's processor time per call, whatever else is running."""

    def sample() -> float:
        began = time.thread_time()
        for _ in range(CALLS):
            work()
        return (time.thread_time() - began) / CALLS

    return sample


def tokens(runs: int) -> list[Figure]:
    """Measure the minting."""
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    key = SigningKey(private)
    issuer = EmulatedIssuer(make_key=lambda: key)
    signed = issuer.mint(AUDIENCE).rpartition(".")[0].encode()
    work = {
        UNIT: lambda: private.sign(signed, padding.PKCS1v15(), SHA256()),
        "EmulatedIssuer.mint": lambda: issuer.mint(AUDIENCE),
    }
    taken = rounds({name: processor_time(one) for name, one in work.items()}, runs)
    group = "ID tokens minted"
    return [
        *(
            Figure.of(group, name, "per second, one core", spread([1 / one for one in taken[name]]))
            for name in work
        ),
        Figure.of(
            f"{group}: beside one signature",
            "EmulatedIssuer.mint",
            "of it",
            ratio(taken["EmulatedIssuer.mint"], taken[UNIT]),
        ),
    ]


def main() -> None:
    """Measure."""
    chosen = Report.arguments(__doc__, runs=25).parse_args()
    report = Report(
        "emulator", chosen.runs, versions_of(["doorward", "cryptography", "starlette", "uvicorn"])
    )
    report.facts = {"a start": "a fresh process", "machine": platform.machine()}
    report.figures = starts(chosen.runs) + tokens(chosen.runs)
    report.finish(save=chosen.save)


if __name__ == "__main__":
    main()
