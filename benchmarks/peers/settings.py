"""The settings of the contenders' apps, which the suite that starts them passes in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["BODY", "Settings"]

BODY = {"status": "packed"}
"""The answer of every app, as JSON."""

_PREFIX = "BENCH_"


@dataclass(frozen=True)
class Settings:
    """What an app verifies tokens by.

    Attributes:
        app: The app to serve, where a module has several.
        audience: The audience that tokens must be made for.
        issuer: The issuer that must have made them.
        caller: The service account that calls.
        keys_url: The URL of the keys, as a JWKS.
        certificates_url: Their URL as certificates, in the form that google-auth reads by default.
        key_file: The private key, for apps that make a certificate of their own.
    """

    app: str
    audience: str
    issuer: str
    caller: str
    keys_url: str
    certificates_url: str
    key_file: str

    def environ(self) -> Mapping[str, str]:
        """Return the variables that `here` reads."""
        return {_PREFIX + name.upper(): value for name, value in asdict(self).items()}

    @classmethod
    def here(cls) -> Settings:
        """Read the variables of this process."""
        return cls(**{name: os.environ[_PREFIX + name.upper()] for name in cls.__dataclass_fields__})
