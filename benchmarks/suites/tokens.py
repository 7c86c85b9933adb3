"""The verification of tokens beside other libraries: new ones, ones seen before, and bad ones of each kind.

The unit is one bare ``public_key.verify`` of ``cryptography``, with the signature decoded already, over as
many bytes as the token has signed: the least work of any library that uses it. It is measured in each round
along with the contenders, and all figures are ratios within rounds.

All contenders verify the same tokens: signature, issuer, audience and expiry. Before anything is measured,
each must accept a good token and refuse seven bad ones. A token never seen is one that the contender has not
seen in that sample, which begins with a verifier that holds its keys and has seen one other token. doorward's
token cache is on throughout, so that a new token includes the cost of caching it. Key endpoints are on
loopback, in a process of their own; contenders that fetch their keys once have done so before.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from harness.endpoint import endpoint
from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, ratio, rounds, spread
from harness.tokens import CALLER, ISSUER, SUBJECT, Key
from peers import doorward as ours
from peers import nodejs
from peers import python as theirs
from peers.contender import Given, certificate

from doorward import GOOGLE, InvokerPolicy, Principal, Refusal
from suites._tokens_material import BAD, COSTLY, bad, bare, good, signed_bytes
from suites._tokens_samples import Ready, logged_to, node_sample, repeated, unit

UNIT = "verifies"
SIZES = {"": 0, ", 8 KB": 8192}
PACKAGES = (
    *("doorward", "cryptography", "google-auth", "CacheControl", "requests", "PyJWT", "auth-jwks", "Authlib"),
    *("joserfc", "python-jose", "jwcrypto", "oxyjwt", "ryjwt"),
)
NOTES = ours.NOTES | theirs.NOTES
OTHER_MEMBER = "serviceAccount:another-caller@doorward-bench.iam.gserviceaccount.com"


@dataclass
class Group:
    """One table.

    Attributes:
        name: Its name.
        bare: The unit.
        rows: The samples by name; None where a contender cannot take part in this environment.
        notes: The note of each row.
    """

    name: str
    bare: Callable[[int], float]
    rows: dict[str, Sample | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, sample: Sample | None, *notes: str) -> None:
        """Add a row."""
        self.rows[name] = sample
        self.notes[name] = "; ".join(filter(None, notes))

    def measure(self, runs: int) -> tuple[list[Figure], float]:
        """Measure the rows in interleaved rounds.

        Returns:
            The figures, and the seconds of one unit.
        """
        samples = {name: sample for name, sample in self.rows.items() if sample is not None}
        taken = rounds({UNIT: unit(self.bare), **samples}, runs)
        figures = [
            Figure.of(self.name, name, UNIT, ratio(taken[name], taken[UNIT]), note)
            if name in taken
            else Figure(self.name, name, UNIT, note=note)
            for name, note in self.notes.items()
        ]
        return figures, spread(taken[UNIT]).median


class Suite:
    """All contenders, prepared and checked, and the tables that they are measured for."""

    def __init__(self, given: Mapping[str, Given], runner: asyncio.Runner, stack: ExitStack) -> None:
        self.given = given
        self.runner = runner
        self.good = {
            (alg, size): good(one.key, length) for alg, one in given.items() for size, length in SIZES.items()
        }
        self.contenders = (*ours.CONTENDERS, *theirs.CONTENDERS)
        self.ready = {
            (alg, one.name): Ready.of(one, of, runner)
            for alg, of in given.items()
            for one in self.contenders
            if not one.missing
        }
        cases = {f"{alg}{size}": (alg, tokens) for (alg, size), tokens in self.good.items()}
        self.node = stack.enter_context(nodejs.node(given, cases))
        for name in nodejs.CONTENDERS:
            for alg in () if self.node.missing or name == nodejs.BARE else given:
                found = self.node.accepted(name, alg)
                assert found == ["good"], f"{name} accepts: {', '.join(found)}"
        self.devnull = logging.StreamHandler(
            stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - the stack closes it
        )

    def groups(self) -> dict[str, Callable[[str], Group]]:
        """Return the makers of all tables by name; a table is made when it is measured."""
        made: dict[str, Callable[[str], Group]] = {}
        for what, again in (("a token never seen", False), ("a token seen before", True)):
            for alg, size in self.good:
                made[f"{what}, {alg}{size}"] = partial(self.accepted, alg=alg, size=size, again=again)
        made |= {f"rejected: {kind}": partial(self.rejected, kind=kind) for kind in BAD}
        return made | {
            "rejected: the costliest that were found": self.costliest,
            "the policy decision": self.decision,
            "the whole door": self.door,
            "the door refuses": self.refusals,
        }

    def accepted(self, name: str, *, alg: str, size: str, again: bool) -> Group:
        """Measure all contenders on good tokens."""
        tokens, case = self.good[alg, size], f"{alg}{size}"
        group = Group(name, bare(self.given[alg].key, signed_bytes(tokens[0], alg)))
        for one in self.contenders:
            ready = self.ready.get((alg, one.name))
            if ready is None:
                group.add(one.name, None, one.missing)
            else:
                group.add(one.name, ready.again(tokens[0]) if again else ready.never(tokens), one.note)
        for contender, note in nodejs.CONTENDERS.items():
            if self.node.missing:
                group.add(f"{contender} (Node)", None, self.node.missing)
            else:
                sample = node_sample(self.node, contender, case, len(tokens), again=again)
                group.add(f"{contender} (Node)", sample, note)
        return group

    def rejected(self, name: str, *, kind: str, alg: str = "RS256") -> Group:
        """Measure all Python contenders on bad tokens."""
        key = self.given[alg].key
        tokens = bad(kind, key)
        group = Group(name, bare(key, signed_bytes(tokens[0], alg)))
        for one in self.contenders:
            ready = self.ready.get((alg, one.name))
            if ready is None:
                group.add(one.name, None, one.missing)
            else:
                group.add(one.name, ready.refused(tokens), one.note, NOTES.get((one.name, kind), ""))
        return group

    def costliest(self, name: str) -> Group:
        """Measure doorward alone, on tokens that are made to be costly for it."""
        given = self.given["RS256"]
        made = {kind: bad(kind, given.key) for kind in COSTLY}
        group = self._ordinary(name)
        for kind, tokens in made.items():
            ready = Ready(
                ours.CONTENDERS[0],
                lambda issuers=COSTLY[kind][0]: ours.verifiers(given, issuers)().verify,
                self.runner,
            )
            group.add(kind, ready.refused(tokens))
        return group

    def _ordinary(self, name: str) -> Group:
        given = self.given["RS256"]
        return Group(name, bare(given.key, signed_bytes(self.good["RS256", ""][0], "RS256")))

    def decision(self, name: str) -> Group:
        """Measure the policy alone; each principal is a new one, so that no decision is cached."""
        group = self._ordinary(name)
        claims = {"sub": SUBJECT, "email": CALLER, "email_verified": True, "iss": ISSUER}
        claims_of_all = MappingProxyType(claims)
        for member, granted in ((f"serviceAccount:{CALLER}", True), (OTHER_MEMBER, False)):
            decide = InvokerPolicy.from_members([member]).decide
            assert decide(Principal(claims_of_all, GOOGLE)).granted is granted
            sample = repeated(
                lambda decide=decide: decide,
                lambda: [Principal(claims_of_all, GOOGLE) for _ in range(5000)],
            )
            group.add(f"doorward, one member, {'granted' if granted else 'not granted'}", sample)
        return group

    def door(self, name: str) -> Group:
        """Measure the whole decision on eight headers, with a policy of one member."""
        group, fresh = self._ordinary(name), ours.doors(self.given["RS256"])
        requests = [ours.headers(token) for token in self.good["RS256", ""]]
        warm = fresh()
        assert not any(isinstance(warm.admit(one), Refusal) for one in requests[:2])
        seen_before = repeated(lambda: warm.admit, lambda: requests[:1] * 4000)
        group.add("doorward, a token seen before", seen_before)
        group.add("doorward, a token never seen", repeated(lambda: fresh().admit, lambda: requests))
        return group

    def refusals(self, name: str) -> Group:
        """Measure refusals, which are logged."""
        group, given = self._ordinary(name), self.given["RS256"]
        seen = ours.headers(self.good["RS256", ""][0])
        requests = {
            "no credential": (ours.doors(given)(), [ours.headers(None)] * 500),
            "an unknown member, token seen before": (ours.doors(given, OTHER_MEMBER)(), [seen] * 500),
            "a bad signature": (ours.doors(given)(), [*map(ours.headers, bad("bad signature", given.key))]),
        }
        for what, (door, batch) in requests.items():
            found = [door.admit(one) for one in batch[:2]]
            statuses = {one.status for one in found if isinstance(one, Refusal)}
            assert len(statuses) == 1, f"{what}: {found}"
            row = f"doorward, {what}: {statuses.pop()}"
            plain = repeated(lambda door=door: door.admit, lambda batch=batch: batch)
            group.add(row, plain, "logged to a NullHandler")
            group.add(f"{row}, logged", self._logged(plain), "as text, by a StreamHandler into /dev/null")
        return group

    def _logged(self, plain: Sample) -> Sample:
        def sample() -> float:
            with logged_to(self.devnull):
                return plain()

        return sample


def facts(suite: Suite, units: Mapping[str, float]) -> dict[str, str]:
    """Return the time of a unit, and the sizes of the tokens."""
    found: dict[str, str] = {}
    for alg, size in suite.good:
        for what in ("a token never seen", "a token seen before"):
            if (seconds := units.get(f"{what}, {alg}{size}")) is not None:
                found.setdefault(f"one bare verify, {alg}{size}", f"{seconds * 1e6:.1f} us")
    sizes = [f"{alg}{size}: {len(tokens[0]):,}" for (alg, size), tokens in suite.good.items()]
    return found | {"bytes of a token": ", ".join(sizes)}


def main() -> None:
    """Measure."""
    parser = Report.arguments(__doc__, runs=45)
    parser.add_argument("--only", metavar="TEXT", default="", help="only the tables with this in their name")
    chosen = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())
    keys = {alg: Key(alg) for alg in ("RS256", "ES256")}
    bodies = {f"{alg}-jwks": key.jwks for alg, key in keys.items()}
    certificates = {alg: {key.kid: certificate(key)} for alg, key in keys.items()}
    bodies |= {f"{alg}-certificates": json.dumps(one).encode() for alg, one in certificates.items()}
    with ExitStack() as stack:
        served = stack.enter_context(endpoint(bodies))
        runner = stack.enter_context(asyncio.Runner())
        given = {
            alg: Given(key, served.url(f"{alg}-jwks"), served.url(f"{alg}-certificates"), certificates[alg])
            for alg, key in keys.items()
        }
        suite = Suite(given, runner, stack)
        report = Report("tokens", chosen.runs, versions_of(PACKAGES) | suite.node.versions)
        # All objects made so far stay: the collector, which runs before each sample, need not visit them.
        gc.collect()
        gc.freeze()
        units = {}
        for name, make in suite.groups().items():
            if chosen.only in name:
                print(f"{name} ...", file=sys.stderr)
                figures, units[name] = make(name).measure(chosen.runs)
                report.figures += figures
        report.facts = facts(suite, units)
    report.finish(save=chosen.save)


if __name__ == "__main__":
    main()
