"""What every adapter sends of a refusal."""

from __future__ import annotations

import pytest

from doorward import CredentialError, Reason
from doorward.door.refusal import RefusalStyle, cloud_run, problem_details
from doorward_integrations.refusal import body_of

ERROR = CredentialError(Reason.NO_CREDENTIAL, "the request carries no credential")


@pytest.mark.parametrize("style", [cloud_run, problem_details])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT", "head", "HEADS", ""])
def test_a_refusal_is_sent_with_its_body(style: RefusalStyle, method: str) -> None:
    refusal = style(ERROR, "/orders")
    assert refusal.body == body_of(refusal, method) != b""


@pytest.mark.parametrize("style", [cloud_run, problem_details])
def test_a_head_is_refused_without_a_body(style: RefusalStyle) -> None:
    assert b"" == body_of(style(ERROR, "/orders"), "HEAD")
