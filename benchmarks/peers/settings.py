"""What the apps of the contenders are told by the suite that starts them, through the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["BODY", "Settings"]

BODY = {"status": "packed"}
"""What every app answers, as JSON."""

_PREFIX = "BENCH_"


@dataclass(frozen=True)
class Settings:
    """What an app verifies tokens by.

    Attributes:
        app: Which app of its module is to be served, where there is more than one.
        audience: Whom tokens must be made for.
        issuer: Who must have made them.
        caller: The service account that calls.
        keys_url: Where the keys are, as a JWKS.
        certificates_url: Where they are as certificates, in the form that google-auth reads by default.
        key_file: The private key, for what must make a certificate of its own.
    """

    app: str
    audience: str
    issuer: str
    caller: str
    keys_url: str
    certificates_url: str
    key_file: str

    def environ(self) -> Mapping[str, str]:
        """Give the variables that `here` reads."""
        return {_PREFIX + name.upper(): value for name, value in asdict(self).items()}

    @classmethod
    def here(cls) -> Settings:
        """Read the variables of this process."""
        return cls(**{name: os.environ[_PREFIX + name.upper()] for name in cls.__dataclass_fields__})
