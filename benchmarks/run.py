"""Run the suites in ``suites/``, or only those that are named, each in a process of its own.

::

    python benchmarks/run.py                        all of them
    python benchmarks/run.py tokens --runs 5        one of them, with settings of its own
    python benchmarks/run.py --save                 all of them, and keep the figures for the page in docs/
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SUITES = sorted(path.stem for path in (HERE / "suites").glob("[!_]*.py"))


def main(arguments: list[str]) -> int:
    """Run the suites one after the other; the first setting and all that follows it are passed to each."""
    split = next((at for at, one in enumerate(arguments) if one.startswith("-")), len(arguments))
    names, settings = arguments[:split], arguments[split:]
    if unknown := [name for name in names if name not in SUITES]:
        print(f"error: no suite {', '.join(unknown)}; there is {', '.join(SUITES)}", file=sys.stderr)
        return 2
    environ = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "0"}
    codes = []
    for name in names or SUITES:
        print(f"\n## {name}\n", flush=True)
        command = [sys.executable, "-m", f"suites.{name}", *settings]
        codes.append(subprocess.run(command, check=False, env=environ).returncode)
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
