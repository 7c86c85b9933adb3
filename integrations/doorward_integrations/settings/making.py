"""From the texts of settings to issuers, documents and key caches: what the library makes of each alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from doorward import (
    GOOGLE,
    IAP,
    ConfigurationError,
    FetchError,
    InvokerPolicy,
    Issuer,
    KeyCache,
    Verifier,
    WatchedPolicy,
    discover,
    firebase,
    strictjson,
)
from doorward.door.exemptions import read_exemptions
from doorward.door.log import CloudRunFormatter, DoorLog
from doorward.issuers.chat import chat_project_number
from doorward.issuers.self_signed import service_account_issuer
from doorward.regular_file import read_regular_file
from doorward_integrations.settings.reading import flag, number, text, whole
from doorward_integrations.settings.variables import STYLES, VARIABLES, Variable

__all__ = ["check_alone", "issuer_of", "read_object", "snapshot_of"]

_PRESETS: Final[dict[str, Callable[[str], Issuer]]] = {
    "firebase": firebase,
    "service-account": service_account_issuer,
    "chat": chat_project_number,
    "https": lambda rest: discover(f"https:{rest}"),
    "http": lambda rest: discover(f"http:{rest}"),
}
_LARGEST_FILE: Final = 16 * 1024 * 1024  # bytes: the members of all groups of a large organisation


def issuer_of(name: str) -> Issuer:
    """Make the issuer that a text names.

    Args:
        name: ``google``, ``iap``, ``firebase:PROJECT``, ``service-account:EMAIL``, ``chat:NUMBER``, or the
            identifier of an issuer of one's own, whose configuration is fetched.

    Returns:
        The issuer.

    Raises:
        ConfigurationError: If it names none, or the configuration cannot be fetched.
    """
    if name in ("google", "iap"):
        return GOOGLE if name == "google" else IAP
    preset, _, rest = name.partition(":")
    if preset not in _PRESETS or not rest:
        raise ConfigurationError(
            f"{name!r} is none of google, iap, firebase:PROJECT, service-account:EMAIL, chat:NUMBER and "
            "https://ISSUER"
        )
    try:
        return _PRESETS[preset](rest)
    except FetchError as error:
        raise ConfigurationError(f"the configuration of {name} cannot be fetched: {error}") from error


def read_object(path: str) -> Any:  # noqa: ANN401 - the policy checks it
    """Read a file that holds one JSON object, as strictly as a policy: two readers must not differ.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        ConfigurationError: If it cannot be read, or holds something else.
    """
    try:
        return strictjson.read_object(read_regular_file(path, _LARGEST_FILE))
    except (OSError, strictjson.StrictJSONError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"{path} is not a readable JSON file: {why}") from error


def snapshot_of(folder: str, issuer: Issuer) -> str:
    """Return the file that keeps the key set of an issuer.

    Args:
        folder: The folder for all of them.
        issuer: The issuer.

    Raises:
        ConfigurationError: If the folder is not there.
    """
    import hashlib  # noqa: PLC0415 - for those who keep key sets

    if not Path(folder).is_dir():
        raise ConfigurationError(f"{folder} is not a folder: create it, or mount a volume there")
    name = hashlib.sha256(issuer.key_url.encode()).hexdigest()[:16]
    return os.path.join(folder, f"doorward-keys-{name}.json")  # noqa: PTH118 - as the key cache takes it


def _check_style(value: str) -> None:
    if value not in STYLES:
        raise ConfigurationError(f"{value!r} is none of {', '.join(STYLES)}")


def _watch(**settings: Any) -> WatchedPolicy:  # noqa: ANN401 - one setting of it
    # Any file that is there: it is not taken for a policy.
    return WatchedPolicy(__file__, load=lambda _: InvokerPolicy.all_authenticated_users(), **settings)


# What makes something of one setting alone, to see whether the library takes it.
_TRIALS: Final[Mapping[object, Callable[..., object]]] = {
    Verifier: lambda **one: Verifier("https://service.example", **one),
    KeyCache: lambda **one: KeyCache(GOOGLE.key_url, **one),
    WatchedPolicy: _watch,
    DoorLog: lambda **one: DoorLog(**one),  # noqa: PLW0108 - it takes any setting
}
_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    "exempt": read_exemptions,
    "style": _check_style,
    "project": lambda project: CloudRunFormatter(project=project),
}


_FORMS: Final[Mapping[object, tuple[tuple[type, ...], str]]] = {
    text: ((str,), "a text"),
    flag: ((bool,), "True or False"),
    whole: ((int,), "a whole number"),
    number: ((int, float), "a number"),
}


def check_alone(setting: str, value: Any) -> None:  # noqa: ANN401 - it is checked here
    """Check one setting as the library does, by itself.

    Args:
        setting: The setting.
        value: Its value.

    Raises:
        ConfigurationError: If it has another form, or the library does not take it.
    """
    variable = VARIABLES[setting]
    _check_form(variable, value)
    if (check := _CHECKS.get(setting)) is not None:
        check(value)
    elif variable.parameter is not None:
        made, name = variable.parameter
        _TRIALS[made](**{name: value})


def _check_form(variable: Variable, value: Any) -> None:  # noqa: ANN401 - as above
    types, form = _FORMS.get(variable.read, ((tuple,), "a list"))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ConfigurationError(f"must be {form}, not {type(value).__name__}")
    if isinstance(value, tuple):
        entry = tuple if variable.setting == "exempt" else str
        if not value or not all(isinstance(one, entry) and one for one in value):
            raise ConfigurationError("must be a list, and neither it nor an entry of it empty")
