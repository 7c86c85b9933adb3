"""What holds for any bytes, bounded; ``make fuzz`` goes on for longer."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.properties import PROPERTIES
from fuzz.seeds import SEEDS

EXAMPLES = int(os.environ.get("DOORWARD_FUZZ_EXAMPLES", "150"))


def changed(seed: bytes) -> st.SearchStrategy[bytes]:
    """Change a good input a little: something in, out, repeated or exchanged anywhere."""

    def apply(at: int, length: int, put: bytes, times: int) -> bytes:
        at = min(at, len(seed))
        return seed[:at] + put * times + seed[at + length :]

    return st.builds(
        apply,
        st.integers(0, len(seed)),
        st.integers(0, 6),
        st.one_of(st.binary(max_size=4), st.sampled_from([b'"', b"\\", b"{", b"[", b".", b"=", b",", b"\n"])),
        st.sampled_from([1, 1, 1, 2, 70]),
    )


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds_for_any_bytes(name: str) -> None:
    seeds = SEEDS.get(name, [b""])
    strategy = st.one_of(st.binary(max_size=200), *(changed(seed) for seed in seeds))

    @settings(
        deadline=None,
        max_examples=EXAMPLES,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(strategy)
    def check(raw: bytes) -> None:
        PROPERTIES[name](raw)

    check()


@pytest.mark.parametrize("name", SEEDS)
def test_it_holds_for_each_seed(name: str) -> None:
    for seed in SEEDS[name]:
        PROPERTIES[name](seed)


def test_every_property_that_reads_a_form_has_seeds_of_that_form() -> None:
    assert set(SEEDS) <= set(PROPERTIES)
