"""The settings of a door, resolved: from the environment and from code, to verifier, policy and door."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Self, Unpack

from doorward import (
    CloudRunFormatter,
    ConfigurationError,
    Door,
    InvokerPolicy,
    Verifier,
    WatchedPolicy,
    find_iap_assertion,
    problem_details,
)
from doorward.door.credentials import find_credential
from doorward.door.log import DoorLog
from doorward.door.refusal import cloud_run
from doorward.issuers.google import CLOUD_RUN_VARIABLES
from doorward_integrations.settings.making import check_alone
from doorward_integrations.settings.masking import masked
from doorward_integrations.settings.parts import Parts
from doorward_integrations.settings.values import IN_CODE_ONLY, Explicit, SettingError, Values
from doorward_integrations.settings.variables import OF_DOORWARD, PREFIX, STYLES, VARIABLES

__all__ = ["Settings", "settings"]

_PROJECT: Final = "GOOGLE_CLOUD_PROJECT"
# What admits any caller, or any Google account in the world, by the setting in which it does.
_EVERYONE: Final = {"members": {"allUsers", "allAuthenticatedUsers"}, "users_of": {"google"}}
_END_USERS: Final = tuple(name for name in VARIABLES if name.startswith("end_user_"))


class Settings(Values):
    """The settings of one door, and what is made of them; `settings` reads them from the environment.

    Each part is made when it is first asked for, and then it is the same one.

    Example:
        ``app = InvokerMiddleware(app, settings().door())``
    """

    @classmethod
    def of(
        cls,
        given: Mapping[str, object],
        *,
        names: Mapping[str, str],
        name_of: Callable[[str], str],
        environ: Mapping[str, str],
    ) -> Self:
        """Take settings from any place, and check each of them by itself.

        Args:
            given: The settings.
            names: By which name each of them was given.
            name_of: Gives the name by which another one can be given.
            environ: The environment, for what the platform says.

        Returns:
            The settings.

        Raises:
            SettingError: If one cannot work, or is not known.
        """
        plain: dict[str, Any] = {name: _plain(name, value) for name, value in given.items()}
        made = cls(names=names, name_of=name_of, environ=environ, **plain)
        for name, value in plain.items():
            if name in VARIABLES:
                with made.naming(name):
                    check_alone(name, value)
        return made

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self)

    @cached_property
    def verifier(self) -> Verifier:
        """The verifier of the callers; its key caches are those of this door.

        Raises:
            SettingError: If a setting cannot work.
        """
        return self._parts.verifier()

    @cached_property
    def policy_source(self) -> InvokerPolicy | WatchedPolicy:
        """The policy, or what follows its file.

        Raises:
            SettingError: If a setting cannot work.
        """
        return self._parts.policy()

    def door(self) -> Door:
        """Return the door.

        Returns:
            The same one each time.

        Raises:
            SettingError: If a setting cannot work; the sentence begins with its name.
        """
        return self._door

    @cached_property
    def _door(self) -> Door:
        verifier, policy, end_users = self.verifier, self.policy_source, self._parts.end_users()
        with self.naming("unsafe_invoker_check_is_on", *_END_USERS, "exempt"):
            return Door(
                verifier,
                policy,
                credential=find_iap_assertion if self._parts.only_iap() else find_credential,
                exempt=self.exempt,
                style=problem_details if self.style == STYLES[1] else cloud_run,
                log=DoorLog(**self.given("log_lines", "log_seconds", prefix="log_")),
                **self.given("listener", "unsafe_invoker_check_is_on"),
                **end_users,
            )

    def formatter(self) -> CloudRunFormatter:
        """Return what writes log records for Cloud Logging, each in the trace of its request.

        Returns:
            A formatter for the project of the settings, or of ``GOOGLE_CLOUD_PROJECT``.

        Raises:
            SettingError: If that is not the id of a project.
        """
        with self.naming("project"):
            return CloudRunFormatter(project=self.project or self.environ.get(_PROJECT, ""))

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Show every setting that has a variable.

        Yields:
            The name of the variable; its value without what may be a secret in it, or the default; and by
            which name it was given, or ``default``.
        """
        for setting, variable in VARIABLES.items():
            if setting in self.names:
                yield variable.name, masked(_shown(getattr(self, setting))), self.names[setting]
            else:
                yield variable.name, variable.shown_default, "default"

    def __repr__(self) -> str:
        """Show what was given, without what may be a secret in it."""
        shown = ", ".join(f"{name}={masked(_shown(getattr(self, name)))}" for name in self.names)
        return f"Settings({shown})"


def settings(environ: Mapping[str, str] | None = None, /, **explicit: Unpack[Explicit]) -> Settings:
    """Read the settings of a door from the environment.

    Args:
        environ: The environment; the process's own by default.
        **explicit: What is given in code, and wins over the environment; see `Explicit`.

    Returns:
        The settings; each call reads them anew.

    Raises:
        SettingError: If a variable whose name begins with ``DOORWARD_`` is not known or cannot work, or an
            argument cannot. The sentence names it, and says how to mend it.
    """
    environ = os.environ if environ is None else environ
    given = _read_environment(environ, explicit)
    names = {name: VARIABLES[name].name for name in given}
    for name, value in explicit.items():
        if name not in Explicit.__annotations__:
            raise SettingError(f"{name}= is not a setting{_nearest(name, Explicit.__annotations__)}")
        given[name] = value
        names[name] = f"{name}="
    return Settings.of(given, names=names, name_of=lambda one: VARIABLES[one].name, environ=environ)


def _read_environment(environ: Mapping[str, str], explicit: Mapping[str, object]) -> dict[str, object]:
    """Read every variable, and report all mistakes in one sentence."""
    known = {variable.name: variable for variable in VARIABLES.values()}
    on_cloud_run = any(variable in environ for variable in CLOUD_RUN_VARIABLES)
    given: dict[str, object] = {}
    mistakes: list[str] = []
    for name in sorted(one for one in environ.keys() - OF_DOORWARD if one.upper().startswith(PREFIX)):
        variable = known.get(name)
        if variable is None:
            mistakes.append(_unknown(name))
            continue
        if variable.setting in explicit:
            continue
        try:
            value = given[variable.setting] = variable.read(environ[name])
            if on_cloud_run:
                _refuse_danger(variable.setting, value)
        except ConfigurationError as error:
            mistakes.append(f"{name} {error}")
    if mistakes:
        raise SettingError("; ".join(mistakes))
    return given


def _unknown(name: str) -> str:
    """Say that a variable is not known; its value may be anything, and is not shown."""
    setting = name.upper().removeprefix(PREFIX).lower()
    if setting in IN_CODE_ONLY:
        return f"{name} is set in code only: settings({setting}=...)"
    # Without the prefix, which would make all of them alike.
    nearest = _nearest(setting, VARIABLES, lambda one: VARIABLES[one].name)
    return f"{name} is not a variable of doorward{nearest}"


def _nearest(name: str, known: Iterable[str], shown: Callable[[str], str] = str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only

    found = get_close_matches(name, list(known), 1)
    return f": did you mean {shown(found[0])}?" if found else ": remove it"


def _refuse_danger(setting: str, value: object) -> None:
    """Refuse what a variable must not do on Cloud Run, where one line of a deployment could open a service.

    Raises:
        ConfigurationError: If it would.
    """
    if setting == "accept_gcloud_tokens" and value is True:
        raise ConfigurationError("is for development, and refused on Cloud Run: remove it, or set it in code")
    if isinstance(value, tuple) and (everyone := set(value) & _EVERYONE.get(setting, set())):
        raise ConfigurationError(
            f"admits everyone with {min(everyone)}, which no variable may on Cloud Run: write it into the "
            "policy, or set it in code"
        )
    if setting == "exempt" and isinstance(value, tuple):
        for method, path in value:
            if "{" in path and method != "OPTIONS":
                raise ConfigurationError(
                    f"exempts every path of {method} {path}, which no variable may on Cloud Run: name the "
                    "paths one by one, or set it in code"
                )


def _plain(name: str, value: object) -> object:
    """Return a list as a tuple; one text is one entry."""
    default = Values.__dataclass_fields__[name].default
    if not isinstance(default, tuple):
        return os.fspath(value) if isinstance(value, os.PathLike) else value
    entries = (value,) if isinstance(value, str | os.PathLike) else value
    if not isinstance(entries, list | tuple | set | frozenset):
        raise SettingError(f"{name}= must be a text or a list of texts, not {type(value).__name__}")
    return tuple(os.fspath(one) if isinstance(one, os.PathLike) else one for one in entries)


def _shown(value: object) -> str:
    """Return a value as its variable would hold it; of a policy in JSON only that it is one."""
    if isinstance(value, tuple):
        parts = (" ".join(one) if isinstance(one, tuple) else str(one) for one in value)
        return ",".join("(JSON)" if one[:1] in ("{", "[") else one for one in parts)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
