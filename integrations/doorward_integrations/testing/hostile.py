"""Sends hostile requests to an application, and reports what it has let through.

::

    @pytest.mark.parametrize("attack", hostile_requests())
    def test_a_hostile_request_is_refused(attack, client, doorward_issuer):
        attack.check(client, doorward_issuer.stand_in_for(app), "sa@my-project.iam.gserviceaccount.com",
        path="/orders")

It works for every guarded application: one that is not guarded by doorward is given the public keys of the
issuer, ``doorward_issuer.jwks()``, and ``audience=``.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, Unpack

from doorward import ConfigurationError, Principal
from doorward.door.credentials import CredentialHeaders
from doorward_integrations.testing.answers import status_of
from doorward_integrations.testing.attacks import ATTACKS
from doorward_integrations.testing.clients import kind_of
from doorward_integrations.testing.issuer import MemoryIssuer
from doorward_integrations.testing.material import Headers, Material, Recipe
from doorward_integrations.testing.requests import send
from doorward_integrations.testing.running import require

__all__ = ["Attack", "Finding", "Report", "Settings", "aattack_all", "attack_all", "hostile_requests"]

REFUSED: Final = frozenset({400, 401, 403, 431})
"""The statuses by which an application refuses a request."""

_Target = Any
"""A client, or a function that takes headers and returns the response."""


class Settings(TypedDict, total=False):
    """How an application is called.

    Attributes:
        path: The path of the requests; ``/`` by default.
        method: Their method; ``GET`` by default.
        audience: The audience of the application, where the issuer stands in for no verifier.
        header: The header of its credential; by default that of its door, or ``authorization``.
        scheme: What stands before the token; by default that of its door, or ``Bearer`` and a space.
        refused: The statuses by which it refuses; 400, 401, 403 and 431 by default.
    """

    path: str
    method: str
    audience: str
    header: str
    scheme: str
    refused: Collection[int]


class Attack:
    """One hostile request, as a parameter of a test.

    Attributes:
        id: Its name; pytest shows it in the id of the test.
        what: What it is, as one sentence.
        mend: What to change in an application that lets it through.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Take its recipe."""
        self.recipe: Final = recipe
        self.id: Final = recipe.id
        self.what: Final = recipe.what
        self.mend: Final = recipe.mend
        self.__name__: Final = recipe.id  # from which pytest takes the id of a parameter

    def __repr__(self) -> str:
        """Show its id."""
        return f"Attack({self.id!r})"

    def headers(
        self, issuer: MemoryIssuer, who: str | Principal, **settings: Unpack[Settings]
    ) -> list[tuple[str, str]]:
        """Return the headers of the request, for a test that sends it in its own way.

        Args:
            issuer: An issuer that the application believes.
            who: A caller that it admits.
            **settings: How it is called.

        Raises:
            ConfigurationError: If no test is running here.
        """
        require("Attack.headers(...)")
        return self.recipe.headers(_material(issuer, who, settings))

    def check(
        self, target: _Target, issuer: MemoryIssuer, who: str | Principal, **settings: Unpack[Settings]
    ) -> None:
        """Send the request, and assert that it is refused.

        Args:
            target: A client of the application, or a function that takes headers and returns the response.
            issuer: An issuer that the application believes: one that stands in for its verifier, or whose
                keys it was given.
            who: A caller that it admits, without which no refusal would prove anything.
            **settings: How it is called.

        Raises:
            AssertionError: If it was let through; or if the application refuses good requests, too, or none.
            ConfigurationError: If no test is running here, or the client is not known.
        """
        attack_all(target, issuer, who, attacks=[self], **settings).check()

    async def acheck(
        self, target: _Target, issuer: MemoryIssuer, who: str | Principal, **settings: Unpack[Settings]
    ) -> None:
        """Do as `check`, with a client whose responses are awaited."""
        (await aattack_all(target, issuer, who, attacks=[self], **settings)).check()


@dataclass(frozen=True, slots=True)
class Finding:
    """What an application has answered to one hostile request.

    Attributes:
        attack: The request.
        status: The status of the answer.
    """

    attack: Attack
    status: int

    def __str__(self) -> str:
        """Say it, and what to mend."""
        how = "crashed" if self.status >= 500 else "let through"  # noqa: PLR2004 - as HTTP has it
        return f"{how} with {self.status}: {self.attack.id}: {self.attack.what}\n    mend: {self.attack.mend}"


@dataclass(slots=True)
class Report:
    """What an application has answered to hostile requests.

    Attributes:
        problem: Why the answers prove nothing; empty if they do.
        let_through: The requests that it did not refuse, those on which it crashed included.
        refused: The ids of those that it refused.
        left_out: The ids of those that concern only who calls, where the application admits every caller.
    """

    problem: str = ""
    let_through: list[Finding] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Assert that all were refused.

        Raises:
            AssertionError: If not; its text is the report.
        """
        if self.problem or self.let_through:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        """Give the report as text."""
        if self.problem:
            return self.problem
        lines = [f"{len(self.refused)} hostile requests were refused, {len(self.let_through)} were not"]
        lines += [f"  {one}" for one in self.let_through]
        if self.left_out:
            lines.append(f"  left out, since every caller is admitted: {', '.join(self.left_out)}")
        return "\n".join(lines)


def hostile_requests(*, without: Iterable[str] = ()) -> list[Attack]:
    """Return the hostile requests that every guarded application must refuse.

    Args:
        without: The ids of those to leave out, each with a reason that you write beside it.

    Returns:
        The attacks, for ``pytest.mark.parametrize``.

    Raises:
        ConfigurationError: If there is no such id.
    """
    left_out = {*without}
    if unknown := left_out - {one.id for one in ATTACKS}:
        raise ConfigurationError(f"there is no hostile request with the id {', '.join(sorted(unknown))}")
    return [Attack(one) for one in ATTACKS if one.id not in left_out]


def attack_all(
    target: _Target,
    issuer: MemoryIssuer,
    who: str | Principal,
    *,
    attacks: Iterable[Attack] | None = None,
    **settings: Unpack[Settings],
) -> Report:
    """Send hostile requests, and report which were let through.

    A good request, one of an outsider and one without credential are sent before.

    Args:
        target: As for `Attack.check`.
        issuer: As for `Attack.check`.
        who: As for `Attack.check`.
        attacks: The requests; all by default.
        **settings: How the application is called.

    Returns:
        The report.

    Raises:
        ConfigurationError: If no test is running here, or the client is not known.
    """
    require("attack_all(...)")
    steps = _steps(_material(issuer, who, settings), attacks, settings)
    headers = next(steps)
    while True:
        response = _sent(target, headers, settings)
        if inspect.isawaitable(response):
            if inspect.iscoroutine(response):
                response.close()
            raise ConfigurationError(
                "the responses of this client are awaited: use acheck(...), or aattack_all(...)"
            )
        try:
            headers = steps.send(status_of(response))
        except StopIteration as done:
            report: Report = done.value
            return report


async def aattack_all(
    target: _Target,
    issuer: MemoryIssuer,
    who: str | Principal,
    *,
    attacks: Iterable[Attack] | None = None,
    **settings: Unpack[Settings],
) -> Report:
    """Do as `attack_all`, with a client whose responses are awaited."""
    require("aattack_all(...)")
    steps = _steps(_material(issuer, who, settings), attacks, settings)
    headers = next(steps)
    while True:
        response = await _sent(target, headers, settings)
        try:
            headers = steps.send(status_of(response))
        except StopIteration as done:
            report: Report = done.value
            return report


def _steps(
    material: Material, attacks: Iterable[Attack] | None, settings: Settings
) -> Generator[Headers, int, Report]:
    """Give the headers of one request after the other, and take the status of each answer."""
    refused, report = settings.get("refused", REFUSED), Report()
    good = yield material.sent(material.good)
    if good in refused or good >= 500:  # noqa: PLR2004 - as HTTP has it
        report.problem = (
            f"the good request was answered with {good}, so that no refusal would prove anything: give "
            "a caller that the application admits, its audience, and an issuer that it believes"
        )
        return report
    bare = yield []
    if bare not in refused:
        report.problem = (
            f"a request without any credential was answered with {bare}: the application does not guard this "
            "path"
        )
        return report
    everyone = (yield material.sent(material.outsiders())) not in refused
    for attack in hostile_requests() if attacks is None else attacks:
        if everyone and attack.recipe.identity:
            report.left_out.append(attack.id)
            continue
        status = yield attack.recipe.headers(material)
        if status in refused:
            report.refused.append(attack.id)
        else:
            report.let_through.append(Finding(attack, status))
    return report


def _sent(target: _Target, headers: Headers, settings: Settings) -> Any:  # noqa: ANN401 - of any library
    if callable(target) and not kind_of(target):
        call: Callable[[Headers], Awaitable[Any] | Any] = target
        return call(headers)
    return send(target, settings.get("method", "GET"), settings.get("path", "/"), headers)


def _material(issuer: MemoryIssuer, who: str | Principal, settings: Settings) -> Material:
    header, scheme = "authorization", "Bearer "
    find = issuer.doors[0].credential if issuer.doors else None
    if isinstance(find, CredentialHeaders):
        header, scheme = find.names[-1].decode(), "Bearer " if find.scheme else ""
    return Material(
        issuer,
        who,
        settings.get("audience"),
        settings.get("header", header),
        settings.get("scheme", scheme),
    )
