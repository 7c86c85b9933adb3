"""The test kit: the tokens that it makes in a second, beside what else makes them, and what a block costs.

A token is either a new one each time, which has to be signed, or the same again, as in a test that asks more
than once for the same caller in the same second. The keys are made before, once for a process, as in a run of
many tests; the first row says how long that takes.
"""

from __future__ import annotations

import itertools
import sys
import time
import unittest
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, rounds, spread
from harness.tokens import AUDIENCE, CALLER

from doorward import Admission, Door, InvokerPolicy, Verifier
from doorward_integrations.emulator import EmulatedIssuer
from doorward_integrations.testing import MemoryIssuer, as_principal
from doorward_integrations.testing.keys import SigningKey

TOKENS = "tokens that are made"
BLOCKS = "the parts of a test"
CALLS = 200


def per_second(work: Callable[[], object], calls: int = CALLS) -> Sample:
    """Return a sample of a function: its calls per second."""

    def sample() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            work()
        return calls / (time.perf_counter() - began)

    return sample


def tokens(issuer: MemoryIssuer) -> dict[str, Sample]:
    """Return what makes tokens."""
    emulated, numbers = EmulatedIssuer(), itertools.count()
    private = rsa.generate_private_key(65_537, 2_048)
    claims = {"aud": AUDIENCE, "email": CALLER, "email_verified": True, "iss": "https://accounts.google.com"}
    emulated.mint(AUDIENCE)
    return {
        "doorward, a new token each time": per_second(
            lambda: issuer.token_for(CALLER, AUDIENCE, number=next(numbers))
        ),
        "doorward, the same token again": per_second(lambda: issuer.token_for(CALLER, AUDIENCE)),
        "doorward's emulator, without its server": per_second(
            lambda: emulated.mint(AUDIENCE, email=CALLER, claims={"number": next(numbers)})
        ),
        "PyJWT": per_second(
            lambda: jwt.encode(
                {**claims, "number": next(numbers)}, private, algorithm="RS256", headers={"kid": "a"}
            )
        ),
    }


def parts() -> dict[str, Sample]:
    """Return what a test of a guarded application does besides its requests."""
    door = Door(Verifier(AUDIENCE), InvokerPolicy.from_members([f"serviceAccount:{CALLER}"]))

    def block() -> None:
        with as_principal(door, CALLER):
            pass

    def request() -> None:
        with as_principal(door, CALLER):
            assert isinstance(door.admit([]), Admission)

    return {
        "a block of as_principal": per_second(block),
        "a block with one decision of the door": per_second(request),
        "an RSA key, once for a process": per_second(lambda: SigningKey("RS256"), 3),
    }


def main() -> None:
    """Measure."""
    chosen = Report.arguments(__doc__, runs=25).parse_args()
    report = Report("kit", chosen.runs, versions_of(("doorward", "cryptography", "PyJWT")))
    # The kit works in a test alone.
    result = unittest.FunctionTestCase(lambda: measure(report)).run()
    if result is None or not result.wasSuccessful():
        sys.exit("".join(text for _, text in ([] if result is None else result.errors)))
    report.finish(save=chosen.save)


def measure(report: Report) -> None:
    """Measure all rows."""
    with MemoryIssuer() as issuer:
        for group, samples in ((TOKENS, tokens(issuer)), (BLOCKS, parts())):
            taken = rounds(samples, report.runs)
            report.figures += [
                Figure.of(group, name, "per second", spread(values)) for name, values in taken.items()
            ]


if __name__ == "__main__":
    main()
