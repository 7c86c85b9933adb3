"""What hostile requests are made of: an issuer that the application believes, and a caller that it admits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from doorward import Principal
from doorward_integrations.testing.issuer import MemoryIssuer
from doorward_integrations.testing.keys import SigningKey, key_of

__all__ = ["OUTSIDER", "Headers", "Material", "Recipe"]

Headers = list[tuple[str, str]]
"""Names in lower case, and values; a name may occur twice."""

OUTSIDER: Final = "outsider@doorward-outside.iam.gserviceaccount.com"
"""A caller whom no policy names."""


@dataclass(frozen=True)
class Material:
    """What attacks are made of: an issuer that the application believes, and a caller that it admits.

    Attributes:
        issuer: The issuer.
        who: The caller.
        audience: The audience of the application; None for that of the verifier that the issuer stands in
            for.
        header: The header of the credential, in lower case.
        scheme: What stands before the token.
    """

    issuer: MemoryIssuer
    who: str | Principal
    audience: str | None = None
    header: str = "authorization"
    scheme: str = "Bearer "
    payload: dict[str, object] = field(init=False)
    key: SigningKey = field(init=False)

    def __post_init__(self) -> None:
        """Work out the claims of a good token, and its key."""
        shape, payload = self.issuer.payload_for(self.who, self.audience)
        object.__setattr__(self, "payload", payload)
        object.__setattr__(self, "key", self.issuer.key(shape))

    @property
    def email(self) -> str:
        """The address of the caller, or its subject."""
        return str(self.payload.get("email") or self.payload.get("sub"))

    @property
    def good(self) -> str:
        """A good token."""
        return self.signed()

    @property
    def forged(self) -> str:
        """A token that another key has signed, under the id of the right one."""
        return self.by_forger({"kid": self.key.kid})

    def head(self, **changed: object) -> dict[str, object]:
        """Return the header of a good token, with changes; None removes a parameter."""
        made = {"alg": self.key.alg, "kid": self.key.kid, "typ": "JWT"} | changed
        return {name: value for name, value in made.items() if value is not None}

    def claims(self, **changed: object) -> dict[str, object]:
        """Return the claims of a good token, with changes; None removes a claim."""
        return {name: value for name, value in (self.payload | changed).items() if value is not None}

    def signed(self, header: Mapping[str, object] | None = None, **changed: object) -> str:
        """Return a token that the right key has signed, with changes."""
        return self.key.sign(self.head(**dict(header or {})), self.claims(**changed))

    def by_forger(self, header: Mapping[str, object] | None = None, **changed: object) -> str:
        """Return a token that another key has signed, and that names that key unless `header` has another."""
        key = self.forger
        return key.sign(self.head(**({"kid": key.kid} | dict(header or {}))), self.claims(**changed))

    @property
    def forger(self) -> SigningKey:
        """A key that no issuer publishes."""
        return key_of("a forger", self.key.alg, 0)

    def at(self, seconds: int) -> int:
        """Return a time, in seconds from now by the clock of the issuer."""
        return int(self.issuer.now()) + seconds

    def sent(self, token: str) -> Headers:
        """Return the headers that send a token as the application expects it."""
        return [(self.header, f"{self.scheme}{token}")]

    def outsiders(self) -> str:
        """Return a good token of a caller whom no policy names."""
        shape, _ = self.issuer.payload_for(self.who, self.audience)
        return self.issuer.make(OUTSIDER, str(self.payload["aud"]), issuer=shape)


@dataclass(frozen=True)
class Recipe:
    """One hostile request.

    Attributes:
        id: Its name, for test ids.
        what: What it is, as one sentence.
        mend: What to change in an application that admits it.
        make: Makes its headers; or the token that the header of the credential carries.
        identity: Whether it only changes who calls: an application that admits every caller may admit it.
    """

    id: str
    what: str
    mend: str
    make: Callable[[Material], Headers | str]
    identity: bool = False

    def headers(self, made: Material) -> Headers:
        """Return the headers of the request.

        Args:
            made: What it is made of.
        """
        found = self.make(made)
        return made.sent(found) if isinstance(found, str) else found
