"""The extras of the distribution: which packages each one brings, and what is said where one is missing.

``pip install doorward`` imports without any of them. A part that needs one imports its packages within
``with needs_extra(...)``, so that an error names the extra to install, in the same words everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from doorward.errors import ConfigurationError

__all__ = ["EXTRAS", "Extra", "MissingExtraError", "needs_extra"]


class MissingExtraError(ConfigurationError, ModuleNotFoundError):
    """A package is not installed that an extra brings.

    It is a `ModuleNotFoundError` too, so that what looks for modules that can be imported understands it.

    Attributes:
        name: The module that was not found.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        """Make the error.

        Args:
            message: What needs which package, and how it is installed.
            name: The module that was not found.
        """
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Extra:
    """One extra.

    Attributes:
        needed_by: What needs it, as the beginning of a sentence, verb included.
        packages: The distributions that it brings, by the top-level name under which each is imported.
    """

    needed_by: str
    packages: Mapping[str, str]


_SERVING: Final = {
    "aiohttp": "aiohttp",
    "multidict": "aiohttp",
    "yarl": "aiohttp",
    "httptools": "httptools",
    "uvicorn": "uvicorn",
    "websockets": "websockets",
}

EXTRAS: Final[Mapping[str, Extra]] = {
    "aiohttp": Extra("the adapter of aiohttp needs", {"aiohttp": "aiohttp", "multidict": "aiohttp"}),
    "calling": Extra(
        "fetching ID tokens needs", {"google": "google-auth[requests]", "requests": "google-auth[requests]"}
    ),
    "cel": Extra("a policy with conditions needs", {"cel_expr_python": "cel-expr-python"}),
    "demo": Extra(
        "the demo needs",
        {"fastapi": "fastapi", "google": "google-auth[requests]", **_SERVING},
    ),
    "django": Extra("the adapter of Django needs", {"django": "django", "asgiref": "django"}),
    "emulator": Extra("serving needs", {"uvicorn": "uvicorn"}),
    "fastapi": Extra("the adapter of FastAPI needs", {"fastapi": "fastapi"}),
    "flask": Extra("the adapter of Flask needs", {"flask": "flask", "werkzeug": "flask"}),
    "functions-framework": Extra(
        "the adapter of the Functions Framework needs",
        dict.fromkeys(("functions_framework", "cloudevents", "flask", "werkzeug"), "functions-framework"),
    ),
    "gateway": Extra("the gateway needs", _SERVING),
    "grpc": Extra("serving or calling over gRPC needs", {"grpc": "grpcio"}),
    "httpx2": Extra("Httpx2Auth needs", {"httpx2": "httpx2"}),
    "otel": Extra("metrics and spans need", {"opentelemetry": "opentelemetry-api"}),
    "yaml": Extra("a policy in YAML needs", {"yaml": "PyYAML"}),
}
"""Every extra by its name, as in ``pip install 'doorward[NAME]'``."""


class needs_extra:  # noqa: N801 - it is written as `with needs_extra(...)`, as contextlib.suppress is
    """Names the extra where an import within the block finds one of its packages missing.

    A package that is missing for another reason, such as one that an installed framework itself fails to
    find, is reported as it is.

    Example:
        ``with needs_extra("grpc"): import grpc``
    """

    __slots__ = ("_advice", "_name")

    def __init__(self, name: str, advice: str = "") -> None:
        """Name the extra.

        Args:
            name: One of `EXTRAS`.
            advice: What else can be done, to follow the command that installs the extra.
        """
        self._name: Final = name
        self._advice: Final = advice

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Replace the error of a missing package.

        Raises:
            MissingExtraError: If the block ended with a package of the extra not found.
        """
        if not isinstance(error, ModuleNotFoundError):
            return
        extra = EXTRAS[self._name]
        distribution = extra.packages.get((error.name or "").partition(".")[0])
        if distribution is None:
            return
        raise MissingExtraError(
            f"{extra.needed_by} {distribution}: pip install 'doorward[{self._name}]'{self._advice}",
            error.name,
        ) from None
