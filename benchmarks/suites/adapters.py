"""Each adapter beside its framework with a guard that does nothing: what the door adds to a request.

The token was seen before, as that of nearly every request. Applications of ASGI and WSGI are called in this
process without a server, so that what a server costs hides nothing; aiohttp and gRPC, whose frameworks are
servers, answer over loopback to a client in this process, whose part is in both figures. A guard that does
nothing has the same form as the door: a middleware, a dependency, or an interceptor.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack

from harness.figures import Figure, Report, versions_of
from harness.rounds import ratio, rounds, spread
from harness.tokens import Key
from peers import doorward as ours
from peers.contender import Given, certificate

from suites._adapters_rows import (
    Ask,
    aiohttp_asks,
    asgi_apps,
    asgi_ask,
    grpc_asks,
    wsgi_apps,
    wsgi_ask,
)

PACKAGES = ("doorward", "starlette", "fastapi", "Flask", "Django", "aiohttp", "grpcio")
LOOPBACK = "over loopback, with its client"
RATIO, TIME = "with the door, token seen before", "one request, token seen before"


def pairs(runner: asyncio.Runner, stack: ExitStack, times: int) -> dict[str, tuple[Ask, Ask]]:
    """Make every framework twice."""
    key = Key()
    given = Given(key, "", "", {key.kid: certificate(key)})
    door, token = ours.doors(given)(), key.token(1)
    headers = ours.headers(token)
    found: dict[str, tuple[Ask, Ask]] = {}
    for name, (bare, guarded) in asgi_apps(door).items():
        found[name] = (asgi_ask(bare, headers, runner, times), asgi_ask(guarded, headers, runner, times))
    for name, (bare, guarded) in wsgi_apps(door).items():
        found[name] = (wsgi_ask(bare, headers, times), wsgi_ask(guarded, headers, times))
    found["aiohttp"] = aiohttp_asks(door, token, runner, stack, times)
    return found | dict(grpc_asks(door, token, runner, stack, times))


def main() -> None:
    """Measure."""
    parser = Report.arguments(__doc__, runs=31)
    parser.add_argument("--times", type=int, default=100, help="requests of each sample (now %(default)s)")
    chosen = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())
    report = Report("adapters", chosen.runs, versions_of(PACKAGES))
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        asks = pairs(runner, stack, chosen.times)
        samples = {f"{name}{which}": ask for name, pair in asks.items() for which, ask in enumerate(pair)}
        taken = rounds(samples, chosen.runs)
    times = []
    for name in asks:
        note = LOOPBACK if name.startswith(("aiohttp", "gRPC")) else ""
        bare, guarded = taken[f"{name}0"], taken[f"{name}1"]
        report.figures.append(Figure.of(RATIO, name, "times without", ratio(guarded, bare), note))
        for column, values in (("a guard that does nothing", bare), ("the door", guarded)):
            one = spread([value * 1e6 for value in values])
            times.append(Figure.of(TIME, name, "us", one, note, column))
    report.figures += times
    report.finish(save=chosen.save)


if __name__ == "__main__":
    main()
