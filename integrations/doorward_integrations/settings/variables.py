"""Every variable of the environment that doorward reads: the one table of their names, forms and defaults.

The name of a variable is that of its argument of `settings`, in capitals behind ``DOORWARD_``. What has a
default in the library keeps it there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from doorward import KeyCache, Verifier, WatchedPolicy
from doorward.door.log import DoorLog
from doorward_integrations.settings.reading import exemptions, flag, number, policies, several, text, whole

__all__ = ["OF_DOORWARD", "PREFIX", "STYLES", "VARIABLES", "Variable"]

PREFIX: Final = "DOORWARD_"
OF_DOORWARD: Final = frozenset({"DOORWARD_EMULATOR_EXEC"})
"""What a command of doorward puts into the environment of its child, for itself; it sets nothing."""

STYLES: Final = ("cloud-run", "problem-details")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable, and the setting that it is.

    Attributes:
        setting: The argument of `settings`, and the attribute of `Settings`.
        read: Reads its text.
        what: What it is, in words that a command's help and the page of the settings show.
        default: What holds without it.
        parameter: The parameter of the library that it fills; None where it is no plain value.
    """

    setting: str
    read: Callable[[str], object]
    what: str
    default: str = ""
    parameter: tuple[Callable[..., object], str] | None = None

    @property
    def name(self) -> str:
        """Its name in the environment."""
        return f"{PREFIX}{self.setting.upper()}"

    @property
    def shown_default(self) -> str:
        """What holds without it, as a page shows it."""
        if self.parameter is None:
            return self.default
        made, parameter = self.parameter
        found: object = inspect.signature(made).parameters[parameter].default
        return f"{found:g}" if isinstance(found, float) else str(found).lower()


def _row(
    setting: str,
    read: Callable[[str], object],
    what: str,
    default: str | Callable[..., object],
    name: str = "",
) -> Variable:
    if isinstance(default, str):
        return Variable(setting, read, what, default)
    return Variable(setting, read, what, parameter=(default, name or setting))


_ROWS: Final = (
    _row(
        "audience",
        several,
        "accepted audiences, compared exactly; detect for the URL of this Cloud Run service",
        "on Cloud Run: detect",
    ),
    _row("cloud_run", several, "URLs of the Cloud Run service, each with all its audiences", ""),
    _row(
        "issuer",
        several,
        "google, iap, firebase:PROJECT, service-account:EMAIL, chat:NUMBER or https://ISSUER",
        "google",
    ),
    _row("accept_gcloud_tokens", flag, "accept the tokens that gcloud prints, for development", Verifier),
    _row("leeway", number, "seconds by which clocks may differ", Verifier),
    _row("max_token_bytes", whole, "the size over which a token is refused", Verifier),
    _row("token_cache_size", whole, "how many verified tokens are cached; 0 for none", Verifier),
    _row(
        "policy",
        policies,
        "files with IAM policies as gcloud prints them, which are joined; or one policy in JSON itself",
        "",
    ),
    _row("members", several, "members of IAM who may invoke, besides those of the policy", ""),
    _row("users_of", several, "issuers, named as the accepted ones, all of whose users may invoke", ""),
    _row("deny_policy", several, "files with deny policies", ""),
    _row("groups", text, "a JSON file: the members of each group", ""),
    _row("unique_ids", text, "a JSON file: the unique id of accounts, by member", ""),
    _row("project_numbers", text, "a JSON file: the numbers of projects, by project id", ""),
    _row("custom_roles", text, "a JSON file: the permissions of custom roles, by role name", ""),
    _row("resource_tags", text, "a JSON file: the tags of the service, by key", ""),
    _row("strict", flag, "refuse a policy with a role or a condition that is not understood", "false"),
    _row("policy_watch", flag, "follow the policy file when it changes", "false"),
    _row("policy_check_every", number, "seconds between two looks at it", WatchedPolicy, "check_every"),
    _row(
        "policy_max_stale",
        number,
        "seconds for which the last good policy decides while looks fail",
        WatchedPolicy,
        "max_stale",
    ),
    _row("exempt", exemptions, "requests that are admitted unread: GET /healthz,GET /metrics", ""),
    _row("style", text, f"how refusals are answered: {' or '.join(STYLES)}", STYLES[0]),
    _row(
        "end_user_issuer", several, "issuers of the token of the end user that a caller passes on", "google"
    ),
    _row("end_user_audience", several, "accepted audiences of that token", ""),
    _row("end_user_callers", several, "members of IAM whose word on the end user is taken", ""),
    _row("end_user_header", text, "the header that holds that token alone, if not Authorization", ""),
    _row("end_user_required", flag, "refuse a request without an end user", "false"),
    _row("key_snapshots", text, "a folder that keeps key sets for the next start and other processes", ""),
    _row(
        "key_max_stale", number, "seconds past their freshness for which keys are used", KeyCache, "max_stale"
    ),
    _row(
        "key_obey_must_revalidate",
        flag,
        "whether must-revalidate in an answer forbids that",
        KeyCache,
        "obey_must_revalidate",
    ),
    _row("key_patience", number, "seconds that a request waits for the first keys", KeyCache, "patience"),
    _row("key_miss_patience", number, "the same for an unknown key id", KeyCache, "miss_patience"),
    _row(
        "key_miss_interval",
        number,
        "seconds in which one more fetch for an unknown key id becomes available",
        KeyCache,
        "miss_interval",
    ),
    _row("key_miss_burst", whole, "how many of those may be made at once", KeyCache, "miss_burst"),
    _row("key_max_waiting", whole, "threads that may wait for an unknown key id", KeyCache, "max_waiting"),
    _row(
        "key_max_waiting_cold",
        whole,
        "threads and tasks that may wait for the first keys",
        KeyCache,
        "max_waiting_cold",
    ),
    _row("log_lines", whole, "refusals that are logged in each window of time", DoorLog, "lines"),
    _row("log_seconds", number, "the length of that window", DoorLog, "seconds"),
    _row("project", text, "the id of the project whose traces log lines name", "GOOGLE_CLOUD_PROJECT"),
    _row("emulator_host", text, "HOST:PORT of an emulator on this machine; refused on Cloud Run", ""),
)

VARIABLES: Final[Mapping[str, Variable]] = {row.setting: row for row in _ROWS}
"""All variables by setting, in the order of the page."""
