"""Workflows: one HTTP call of a step with ``auth: {type: OIDC}``.

Sources: https://cloud.google.com/workflows/docs/authenticate-from-workflow and
https://cloud.google.com/workflows/docs/reference/stdlib/http/default_retry. Which audience a step has by
default is not documented, so it must be given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT
from doorward_integrations.emulator.senders.delivery import Delivery, Dispatcher
from doorward_integrations.emulator.senders.plan import Outgoing, Plan, exponential, merged, unchanged

__all__ = ["Workflows"]

_USER_AGENT: Final = "GoogleCloudWorkflows; (+https://cloud.google.com/workflows/docs)"
# None stands for no answer: a connection that failed, or one that took too long.
_RETRIED: Final[dict[str, frozenset[int | None]]] = {
    "none": frozenset(),
    "default": frozenset({429, 502, 503, 504, None}),
    "non_idempotent": frozenset({429, 503}),
}
_ERROR: Final = 400


@dataclass(frozen=True, kw_only=True)
class Workflows:
    """A step of a workflow that calls a URL.

    Attributes:
        dispatcher: Makes the requests.
        audience: The audience that the step names.
        service_account: The account that the workflow runs as.
        retry: ``none``, or the predicate of ``http.default_retry`` (``default``) or of
            ``http.default_retry_non_idempotent`` (``non_idempotent``). A step without ``retry`` has none.
        deadline: Seconds in which the endpoint must answer.
    """

    dispatcher: Dispatcher = field(repr=False)
    audience: str
    service_account: str = DEFAULT_ACCOUNT
    retry: Literal["none", "default", "non_idempotent"] = "none"
    deadline: float = 300.0

    def __post_init__(self) -> None:
        """Refuse a step without an audience, and an unknown predicate.

        Raises:
            ConfigurationError: If one is given.
        """
        if not self.audience:
            raise ConfigurationError("Workflows: name the audience of the step: it has no documented default")
        if self.retry not in _RETRIED:
            raise ConfigurationError(f"retry={self.retry!r} must be one of {', '.join(_RETRIED)}")

    def send(
        self,
        url: str,
        body: Any = None,  # noqa: ANN401 - any JSON value
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
    ) -> Delivery:
        """Make the call.

        Args:
            url: The URL.
            body: A JSON value; None for no body.
            headers: The headers that the step sets.
            method: The method.

        Returns:
            What came of it; the answer is in its last attempt.

        Raises:
            ConfigurationError: If the URL cannot be used, or there is no token to be got.
        """
        set_here = next(
            (value for name, value in (headers or {}).items() if name.lower() == "user-agent"), ""
        )
        # What a step sets is kept, in front.
        sent = merged(headers, {"User-Agent": f"{set_here} {_USER_AGENT}".lstrip()})
        if body is not None and not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/json"
        content = b"" if body is None else json.dumps(body).encode()
        outgoing = Outgoing(headers=sent, body=content, method=method)
        return self.dispatcher.deliver(
            Plan(
                sender="Workflows",
                url=url,
                account=self.service_account,
                audience=self.audience,
                request=unchanged(outgoing),
                wait=exponential(1.0, 60.0, factor=1.25),
                accepts=lambda status: status < _ERROR,
                retries=lambda attempt: attempt.status in _RETRIED[self.retry],
                attempts=6,  # the call, and five retries
                deadline=self.deadline,
            )
        )
