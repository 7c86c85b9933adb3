"""What a forked process holds of the trust in an issuer in memory, and of the caller of a block: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from doorward import Door, Verifier
from doorward.keys.fixed import NO_KEYS
from doorward.tokens.verifier import engine_of
from doorward_integrations.testing import MemoryIssuer, as_principal
from doorward_integrations.testing.trust import trust
from support.forks import forking
from support.simulator import PATIENCE
from support.tokens import AUDIENCE, CALLER, MEMBER

TESTS = Path(__file__).resolve().parents[2]


def reason_of(door: Door, token: str = "") -> str:
    headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
    outcome = door.admit(headers)
    return str(getattr(outcome, "reason", None) or getattr(outcome, "principal", None))


# In a process of its own: a child of this one would have the locks of whatever other tests have left running.
FORKING = """
import unittest
from doorward import Door, InvokerPolicy, Verifier
from doorward.keys.fixed import NO_KEYS
from doorward.tokens.verifier import engine_of
from doorward_integrations.testing import MemoryIssuer, as_principal
from support.forks import forked
from support.tokens import AUDIENCE, CALLER, MEMBER

def reason_of(door, token=""):
    headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
    outcome = door.admit(headers)
    return str(getattr(outcome, "reason", None) or getattr(outcome, "principal", None))

class Test(unittest.TestCase):
    def test(self):
        door = Door(Verifier(AUDIENCE), InvokerPolicy.from_members([MEMBER]))
        engine_of(door.verifier).issuers[0].key_source = NO_KEYS
        with as_principal(door, CALLER), MemoryIssuer() as issuer:
            issuer.stand_in_for(door)
            token = issuer.token_for(CALLER)
            ask = lambda: [reason_of(door), reason_of(door, token)]
            self.assertEqual([MEMBER, MEMBER], ask())
            self.assertEqual(["no_credential", "unknown_key"], forked(ask))
            self.assertEqual([MEMBER, MEMBER], ask())
"""


@forking
def test_a_server_that_is_forked_in_a_block_admits_no_caller_and_believes_no_token(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(FORKING)
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "run.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (0, True) == (done.returncode, "Ran 1 test" in done.stderr), done.stderr


def test_ending_a_trust_twice_ends_it_once() -> None:
    verifier = Verifier(AUDIENCE, key_cache=lambda _: NO_KEYS)
    with MemoryIssuer() as issuer:
        first, second = trust(verifier, issuer), trust(verifier, issuer)
        first()
        first()
        assert NO_KEYS is not engine_of(verifier).issuers[0].key_source
        second()
        assert NO_KEYS is engine_of(verifier).issuers[0].key_source


def test_the_ends_of_blocks_in_threads_may_come_in_any_order(door: Door) -> None:
    source = engine_of(door.verifier).issuers[0].key_source

    def ask(_: int) -> str:
        with as_principal(door, CALLER):
            return reason_of(door)

    with ThreadPoolExecutor(8) as pool:
        assert {MEMBER} == {*pool.map(ask, range(64))}
    assert source is engine_of(door.verifier).issuers[0].key_source
    assert "admit" not in vars(door)
