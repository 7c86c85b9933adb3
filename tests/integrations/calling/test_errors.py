"""What an error says, and what it leaves out."""

from __future__ import annotations

import pickle

import pytest

from doorward import DoorwardError
from doorward_integrations.calling import IdTokenError
from doorward_integrations.calling.errors import describe
from support.calling import unsigned
from support.tokens import AUDIENCE


def test_it_is_of_the_tree_and_survives_pickling() -> None:
    error: IdTokenError = pickle.loads(pickle.dumps(IdTokenError(AUDIENCE, "why", 3.0)))

    assert issubclass(IdTokenError, DoorwardError)
    assert (AUDIENCE, "why", 3.0) == (error.audience, error.cause, error.retry_after)


@pytest.mark.parametrize(
    "text",
    [
        unsigned(AUDIENCE, 1e9),
        unsigned(AUDIENCE, 1e9).rpartition(".")[2] * 3,
        "ya29.a0AfB_byC3-abcdefghijklmnopqrstuvwxyz",
        "abcdefghijklmnopqrstuvwxyz0123456789",
    ],
    ids=["token", "signature", "access token", "other"],
)
def test_no_more_than_16_characters_of_a_secret_are_repeated(text: str) -> None:
    said = describe(ValueError(f"bad answer: b'{text}'"))

    assert said.startswith("ValueError: bad answer: b'")
    assert not any(text[at : at + 17] in said for at in range(len(text) - 17))


def test_what_an_operator_needs_is_repeated() -> None:
    assert (
        "ConnectionError: http://metadata.google.internal/computeMetadata/v1/instance: connection refused"
        == describe(
            ConnectionError("http://metadata.google.internal/computeMetadata/v1/instance: connection refused")
        )
    )
    assert "TimeoutError" == describe(TimeoutError())
    assert len(describe(ValueError("long text " * 100_000))) < 300
