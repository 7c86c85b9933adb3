"""The values of all settings, typed, with the name by which each was given."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from doorward import ConfigurationError, FetchError, Issuer
from doorward.door.events import DoorListener
from doorward.keys.events import Listener
from doorward.keys.source import KeySource
from doorward.policy.watching.events import PolicyListener
from doorward_integrations.settings.masking import masked
from doorward_integrations.settings.variables import VARIABLES

__all__ = ["IN_CODE_ONLY", "Explicit", "SettingError", "Values"]

Several = str | Iterable[str]


class SettingError(ConfigurationError):
    """A setting that cannot work; the sentence begins with the names by which it was given."""


class Explicit(TypedDict, total=False):
    """What `settings` may be given in code; it wins over the environment.

    A list may be given as one text, which is then one entry, or as texts. The last six have no variable.
    """

    audience: Several
    cloud_run: Several
    issuer: Several
    accept_gcloud_tokens: bool
    leeway: float
    max_token_bytes: int
    token_cache_size: int
    policy: Several
    members: Several
    users_of: Several
    deny_policy: Several
    groups: str
    unique_ids: str
    project_numbers: str
    custom_roles: str
    resource_tags: str
    strict: bool
    policy_watch: bool
    policy_check_every: float
    policy_max_stale: float
    exempt: Iterable[tuple[str, str]]
    style: str
    end_user_issuer: Several
    end_user_audience: Several
    end_user_callers: Several
    end_user_header: str
    end_user_required: bool
    key_snapshots: str
    key_max_stale: float
    key_obey_must_revalidate: bool
    key_patience: float
    key_miss_patience: float
    key_miss_interval: float
    key_miss_burst: int
    key_max_waiting: int
    key_max_waiting_cold: int
    log_lines: int
    log_seconds: float
    project: str
    emulator_host: str
    listener: DoorListener
    key_listener: Listener
    policy_listener: PolicyListener
    key_cache: Callable[[Issuer], KeySource]
    clock: Callable[[], float]
    unsafe_invoker_check_is_on: bool


IN_CODE_ONLY: Final = tuple(name for name in Explicit.__annotations__ if name not in VARIABLES)
"""The settings that no variable sets: what is no text, and what would be dangerous."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Values:
    """The settings of one door. None, or empty, is what was not given: the library's own default holds.

    Attributes:
        names: By which name each setting was given: ``DOORWARD_LEEWAY``, ``leeway=`` or ``--leeway``.
        environ: The environment, for what the platform says.
        name_of: Gives the name by which a setting that is missing can be given.
    """

    audience: tuple[str, ...] = ()
    cloud_run: tuple[str, ...] = ()
    issuer: tuple[str, ...] = ()
    accept_gcloud_tokens: bool | None = None
    leeway: float | None = None
    max_token_bytes: int | None = None
    token_cache_size: int | None = None
    policy: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    users_of: tuple[str, ...] = ()
    deny_policy: tuple[str, ...] = ()
    groups: str | None = None
    unique_ids: str | None = None
    project_numbers: str | None = None
    custom_roles: str | None = None
    resource_tags: str | None = None
    strict: bool | None = None
    policy_watch: bool | None = None
    policy_check_every: float | None = None
    policy_max_stale: float | None = None
    exempt: tuple[tuple[str, str], ...] = ()
    style: str | None = None
    end_user_issuer: tuple[str, ...] = ()
    end_user_audience: tuple[str, ...] = ()
    end_user_callers: tuple[str, ...] = ()
    end_user_header: str | None = None
    end_user_required: bool | None = None
    key_snapshots: str | None = None
    key_max_stale: float | None = None
    key_obey_must_revalidate: bool | None = None
    key_patience: float | None = None
    key_miss_patience: float | None = None
    key_miss_interval: float | None = None
    key_miss_burst: int | None = None
    key_max_waiting: int | None = None
    key_max_waiting_cold: int | None = None
    log_lines: int | None = None
    log_seconds: float | None = None
    project: str | None = None
    emulator_host: str | None = None
    listener: DoorListener | None = None
    key_listener: Listener | None = None
    policy_listener: PolicyListener | None = None
    key_cache: Callable[[Issuer], KeySource] | None = None
    clock: Callable[[], float] | None = None
    unsafe_invoker_check_is_on: bool | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    name_of: Callable[[str], str] = field(default=lambda setting: VARIABLES[setting].name)

    def given(self, *settings: str, prefix: str = "") -> dict[str, Any]:
        """Return those settings that were given, by the name that the library has for each.

        Args:
            *settings: Their names here.
            prefix: What the library's names lack.
        """
        return {one.removeprefix(prefix): getattr(self, one) for one in settings if one in self.names}

    @contextlib.contextmanager
    def naming(self, *settings: str) -> Iterator[None]:
        """Name the settings that are at fault where the library refuses within the block.

        Args:
            *settings: All that may be at fault: those of them that were given are named, or else the first
                one, as it can be given.

        Raises:
            SettingError: In place of the error of the library, without what may be a secret in its sentence.
        """
        try:
            yield
        except SettingError:
            raise
        except (ConfigurationError, FetchError) as error:
            raise self.mistake(str(error), *settings) from None

    def mistake(self, why: str, *settings: str) -> SettingError:
        """Return the error of some settings.

        Args:
            why: What is wrong, and how to mend it.
            *settings: As for `naming`.
        """
        given = [self.names[one] for one in settings if one in self.names]
        return SettingError(f"{', '.join(given or [self.name_of(settings[0])])}: {masked(why)}")
