"""What a decision costs as the policy grows, in units of the decision of a policy of one member.

Every contender decides on the same caller, which is the last of the members. One condition depends on nothing
of the request, so that it is decided once, when the policy is loaded; another is evaluated for each request.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from types import MappingProxyType

from doorward import GOOGLE, InvokerPolicy, Principal

CALLER = "caller@doorward-bench.iam.gserviceaccount.com"
SIZES = (1, 10, 100, 1_500)
BATCH = 2_000
LASTING = "timestamp('2020-01-01T00:00:00Z') < timestamp('2030-01-01T00:00:00Z')"
CHANGING = "request.path.startsWith('/')"


def policy(size: int, condition: str | None) -> InvokerPolicy:
    members = [f"user:somebody-{number}@example.com" for number in range(size - 1)]
    binding: dict[str, object] = {
        "role": "roles/run.invoker",
        "members": [*members, f"serviceAccount:{CALLER}"],
    }
    if condition is not None:
        binding["condition"] = {"title": "bench", "expression": condition}
    return InvokerPolicy.from_dict({"version": 3, "bindings": [binding]})


def seconds(decider: InvokerPolicy, caller: Principal) -> float:
    began = time.perf_counter()
    for _ in range(BATCH):
        decider.decide(caller)
    return (time.perf_counter() - began) / BATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=25, help="interleaved batches of each (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    chosen = parser.parse_args()
    claims = {"sub": "1", "email": CALLER, "email_verified": True, "iss": GOOGLE.spellings[0]}
    caller = Principal(MappingProxyType(claims), GOOGLE)
    kinds = {"no condition": None, "a lasting condition": LASTING, "a condition on the request": CHANGING}
    contenders = {(kind, size): policy(size, text) for kind, text in kinds.items() for size in SIZES}
    assert all(one.decide(caller).granted for one in contenders.values())
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in contenders}
    for _ in range(chosen.runs):
        for key, one in contenders.items():
            taken[key].append(seconds(one, caller))
    unit = statistics.median(taken["no condition", 1])
    print("| decision by | " + " | ".join(f"{size:,} members" for size in SIZES) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    for kind in kinds:
        medians = [statistics.median(taken[kind, size]) / unit for size in SIZES]
        print(f"| {kind} | " + " | ".join(f"{median:.2f}" for median in medians) + " |")
    print(f"\nIn units of the decision of one member without a condition: {unit * 1e6:.2f} us here; medians.")
    if chosen.json:
        chosen.json.write_text(
            json.dumps({f"{kind}, {size}": times for (kind, size), times in taken.items()})
        )


if __name__ == "__main__":
    main()
