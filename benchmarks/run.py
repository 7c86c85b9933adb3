"""Run the benchmark suites that stand beside this file, or only those that are named.

::

    python benchmarks/run.py                        all of them
    python benchmarks/run.py keys --json keys.json  one of them, with settings of its own
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITES = {path.stem: path for path in sorted(Path(__file__).parent.glob("[!_]*.py")) if path.stem != "run"}


def main(arguments: list[str]) -> int:
    """Run the suites one after the other; what follows the first setting goes to each of them."""
    split = next((at for at, one in enumerate(arguments) if one.startswith("-")), len(arguments))
    names, settings = arguments[:split], arguments[split:]
    if unknown := [name for name in names if name not in SUITES]:
        print(f"error: no suite {', '.join(unknown)}; there is {', '.join(SUITES)}", file=sys.stderr)
        return 2
    codes = [
        subprocess.run([sys.executable, SUITES[name], *settings], check=False).returncode
        for name in names or SUITES
    ]
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
