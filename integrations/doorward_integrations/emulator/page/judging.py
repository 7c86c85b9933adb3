"""What the page shows of tokens and policies: every check explained, and whom a change of a policy affects.

Each answer comes from the parts that a door uses: `Door`, `explain_token` and `InvokerPolicy`. Nothing is
fetched, and nothing that was pasted is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

from doorward.door.credentials import RawHeaders
from doorward.door.door import Door
from doorward.door.log import DoorLog
from doorward.door.refusal import Refusal
from doorward.errors import ConfigurationError, PolicyError, RefusedError
from doorward.explain.token import explain_token
from doorward.issuers.google import GOOGLE
from doorward.keys.fixed import FixedKeys
from doorward.policy.iam import InvokerPolicy
from doorward.policy.request import PlainRequest, RequestFacts
from doorward.policy.source import decide_every_reading
from doorward.shown import shown
from doorward.tokens.principal import ANONYMOUS, Principal
from doorward.tokens.verifier import Verifier
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.page.guard import Asked, Refused, text_of
from doorward_integrations.emulator.page.known import Known

__all__ = ["Judge"]

_LONGEST: Final = 2_000
_ANONYMOUS: Final = "no credential"
_MARKS: Final = {True: "admitted", False: "refused", None: "undecided"}


class _Silent(DoorLog):
    """Logs nothing: what a person pastes is no request to a service."""

    def refused(self, refusal: Refusal, request: RequestFacts, headers: RawHeaders = ()) -> None:
        """Do nothing."""

    def admitted_as_anonymous(self, error: RefusedError) -> None:
        """Do nothing."""


class Judge:
    """Explains tokens and policies with the emulator's keys."""

    def __init__(self, issuer: EmulatedIssuer, known: Known, mint: Callable[[Account, str], str]) -> None:
        """Take the parts.

        Args:
            issuer: Whose keys verify, and whose clock decides.
            known: The known accounts and groups.
            mint: Mints a token of an account for an audience.
        """
        self._issuer = issuer
        self._known = known
        self._mint = mint

    def explain(self, asked: Asked) -> dict[str, Any]:
        """Explain what a door would answer to a request with a token.

        Args:
            asked: ``token``, ``audience``, and as far as they are given ``policy``, ``method``, ``path`` and
                ``host``.

        Returns:
            The answer's ``status``, the ``checks`` of the token, and what the ``policy`` says.

        Raises:
            Refused: If a member cannot be used.
        """
        token = _bare(text_of(asked, "token"))
        policy = self._policy(text_of(asked, "policy", ""))
        verifier = self._verifier(text_of(asked, "audience"))
        request = _request(asked)
        found = explain_token(verifier, token)
        decided = None
        if found.principal is not None:
            decided = policy.explain(found.principal, request, self._issuer.clock()).as_dict()
        answer = Door(verifier, policy, log=_Silent()).admit(
            [(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))], request
        )
        refusal = answer if isinstance(answer, Refusal) else None
        return {
            "status": 200 if refusal is None else refusal.status,
            "admitted": refusal is None,
            "reason": None if refusal is None else refusal.error.reason,
            "message": "" if refusal is None else shown(refusal.error.message, _LONGEST),
            "advice": "" if refusal is None else refusal.error.reason.advice,
            "principal": None if found.principal is None else str(found.principal),
            "checks": [asdict(check) for check in found.checks],
            "policy": decided,
        }

    def effect(self, before: str, asked: Asked) -> dict[str, Any]:
        """Say who gains and who loses by a change of a policy.

        Args:
            before: The policy that is in force, as JSON; empty for one that grants nothing.
            asked: ``policy``, the one that would be; and as far as they are given ``path`` and ``host``.

        Returns:
            The known identities by what happens to them: ``gains``, ``loses``, ``admitted`` and ``refused``
            before and after, each with its outcomes; and the ``remarks`` of the new policy.

        Raises:
            Refused: If a policy cannot be used.
        """
        old, new = self._policy(before), self._policy(text_of(asked, "policy", ""))
        request, now = _request(asked), self._issuer.clock()
        groups: dict[str, list[dict[str, str]]] = {"gains": [], "loses": [], "admitted": [], "refused": []}
        for name, principal in self._principals():
            was, will = (self._admits(one, principal, request, now) for one in (old, new))
            kind = ("admitted" if was else "refused") if was == will else ("gains" if will else "loses")
            groups[kind].append({"name": name, "before": _MARKS[was], "after": _MARKS[will]})
        return {**groups, "remarks": list(new.explain(ANONYMOUS, request, now).remarks)}

    def _policy(self, text: str) -> InvokerPolicy:
        try:
            return InvokerPolicy.from_json(text or '{"bindings": []}', **self._known.settings())
        except (PolicyError, ConfigurationError) as error:
            message = f"The policy cannot be used: {shown(str(error), _LONGEST)}"
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, message) from None

    def _principals(self) -> Iterable[tuple[str, Principal]]:
        audience = "https://effect.invalid"
        verifier = self._verifier(audience)
        yield _ANONYMOUS, ANONYMOUS
        for account in self._known.all():
            yield account.email, verifier.verify(self._mint(account, audience))

    @staticmethod
    def _admits(
        policy: InvokerPolicy, principal: Principal, request: RequestFacts, now: float
    ) -> bool | None:
        if principal is ANONYMOUS and not policy.public:
            return False
        decision = decide_every_reading(policy, principal, request, now)
        return None if decision.unknown is not None else decision.granted

    def _verifier(self, audience: str) -> Verifier:
        keys = FixedKeys(json.dumps(self._issuer.jwks()).encode())
        return Verifier(audience, issuers=[GOOGLE], key_cache=lambda _: keys, clock=self._issuer.clock)


def _bare(text: str) -> str:
    """Return a token without the header and the scheme that it was copied with."""
    for prefix in ("authorization:", "x-serverless-authorization:", "bearer "):
        if text.lower().startswith(prefix):
            text = text[len(prefix) :].strip()
    return text


def _request(asked: Mapping[str, Any]) -> PlainRequest:
    return PlainRequest(
        path=text_of(asked, "path", "/") or "/",
        method=text_of(asked, "method", "GET").upper() or "GET",
        host=text_of(asked, "host", "").lower(),
    )
