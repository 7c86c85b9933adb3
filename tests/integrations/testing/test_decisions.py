"""What the doors of a test have decided."""

from __future__ import annotations

from doorward import Door, Reason
from doorward.door.admission import EXEMPT, Admission
from doorward.policy.request import PlainRequest
from doorward.tokens.principal import ANONYMOUS
from doorward_integrations.testing.decisions import forget, made, record


def test_a_refusal_is_kept_with_its_reason_and_says_what_to_do(door: Door) -> None:
    record(door, door.admit([]), PlainRequest("/orders"))
    (decision,) = made()

    assert ("/orders", "refused", 403) == (decision.path, decision.outcome, decision.status)
    assert Reason.NO_CREDENTIAL is decision.reason
    assert str(decision).endswith(Reason.NO_CREDENTIAL.advice)


def test_an_admission_is_kept_with_its_caller(door: Door) -> None:
    record(door, Admission(ANONYMOUS, [], EXEMPT), PlainRequest(path="/healthz", method="GET"))
    (decision,) = made()

    assert (None, None, str(ANONYMOUS)) == (decision.reason, decision.status, decision.caller)
    assert str(decision).startswith("GET /healthz: exempt")


def test_the_last_thousand_are_kept(door: Door) -> None:
    admission = Admission(ANONYMOUS, [], EXEMPT)
    for number in range(1_001):
        record(door, admission, PlainRequest(f"/{number}"))

    assert ["/1", "/1000"] == [made()[0].path, made()[-1].path]
    assert 1_000 == len(made())


def test_another_test_begins_without_any(door: Door) -> None:
    assert [] == made()
    record(door, Admission(ANONYMOUS, [], EXEMPT), PlainRequest(path="/", method="GET"))
    forget()
    assert [] == made()
