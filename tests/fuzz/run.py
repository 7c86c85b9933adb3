"""Fuzz one property, or each in turn, with atheris: ``python tests/fuzz/run.py SECONDS [PROPERTY ...]``.

Coverage guides it. What it finds is in ``.fuzz/PROPERTY``; the input that breaks a property is printed by
libFuzzer and written to ``.fuzz/crash-...``. Without atheris, ``make fuzz`` runs hypothesis for longer.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".fuzz"


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one property in this process, which libFuzzer ends."""
    atheris: Any = importlib.import_module("atheris")  # which `make fuzz` installs

    with atheris.instrument_imports(include=["doorward", "doorward_integrations"]):
        from fuzz.properties import PROPERTIES  # noqa: PLC0415 - its imports are instrumented
        from fuzz.seeds import SEEDS  # noqa: PLC0415 - as above
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(name, [])):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [f"-max_total_time={seconds}", "-max_len=20000", f"-artifact_prefix={KEPT}/", str(corpus)]
    atheris.Setup([sys.argv[0], *arguments], PROPERTIES[name])
    atheris.Fuzz()


def main(seconds: str = "30", *names: str) -> int:
    """Fuzz each property in a process of its own."""
    if names[:1] == ("--here",):
        fuzz(names[1], int(seconds))
        return 0
    from fuzz.properties import PROPERTIES  # noqa: PLC0415 - not instrumented here

    failed = []
    for name in names or PROPERTIES:
        sys.stdout.write(f"== {name}, {seconds} s\n")
        sys.stdout.flush()
        command = [sys.executable, __file__, seconds, "--here", name]
        if subprocess.run(command, check=False, cwd=ROOT).returncode:
            failed.append(name)
    sys.stdout.write(f"{len(failed)} broken: {', '.join(failed)}\n" if failed else "all hold\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    sys.exit(main(*sys.argv[1:]))
