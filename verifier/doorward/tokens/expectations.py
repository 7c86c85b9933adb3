"""What the claims of an issuer's tokens must be, worked out once from the settings of a verifier."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from doorward.audiences.audience import Audience, Audiences
from doorward.errors import ConfigurationError
from doorward.issuers.google import GCLOUD_CLIENT_ID, is_google
from doorward.issuers.issuer import Issuer

__all__ = ["Expectations", "expectations_of"]

_FEW: Final = 4
_MAX_LEEWAY: Final = 300.0  # what Google's own libraries allow at most; more would only hide a broken clock


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the claims of a token must be.

    Attributes:
        issuer: The issuer whose key must have made the signature.
        audiences: The accepted audiences.
        leeway: Seconds by which the clocks may differ, applied to ``exp``, ``iat`` and ``nbf``.
        gcloud_tokens: Whether a token that gcloud made is accepted, though it is for no service.
        iss_values: The accepted values of ``iss``.
        exact_audiences: The audiences that are one text each.
        longest: The longest accepted lifetime in seconds, leeway included.
        audience_marks: The audiences as they stand in a payload without escapes: each payload that may pass
            holds one of them. Empty where the audiences cannot be listed, or are many.
    """

    issuer: Issuer
    audiences: Audiences
    leeway: float
    gcloud_tokens: bool = False
    iss_values: tuple[str, ...] = field(init=False, repr=False, compare=False)
    exact_audiences: frozenset[str] = field(init=False, repr=False, compare=False)
    longest: float = field(init=False, repr=False, compare=False)
    audience_marks: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what every token is compared with."""
        object.__setattr__(self, "iss_values", self.issuer.iss_values)
        object.__setattr__(self, "exact_audiences", self.audiences.exact)
        object.__setattr__(self, "longest", self.issuer.max_lifetime + self.leeway)
        accepted = self.audiences.exact | ({GCLOUD_CLIENT_ID} if self.gcloud_tokens else set())
        few = sorted(accepted) if self.audiences.listed and len(accepted) <= _FEW else ()
        # A lone surrogate can only be written with an escape, so that its mark is never found.
        marks = tuple(json.dumps(one, ensure_ascii=False).encode(errors="replace") for one in few)
        object.__setattr__(self, "audience_marks", marks)


def expectations_of(
    issuers: Sequence[Issuer],
    audience: str | Audience | Iterable[str | Audience] | None,
    leeway: float,
    *,
    gcloud_tokens: bool,
) -> list[Expectations]:
    """Work out what the tokens of each issuer must say.

    Args:
        issuers: The accepted issuers.
        audience: What is accepted; None only where every issuer brings its own.
        leeway: Seconds by which the clocks may differ, 0 to 300.
        gcloud_tokens: Whether a token that gcloud made is accepted.

    Returns:
        The expectations, in the order of the issuers.

    Raises:
        ConfigurationError: If there is no audience, or one too many, or the leeway is out of range.
    """
    if not 0 <= leeway <= _MAX_LEEWAY:
        raise ConfigurationError(f"leeway is {leeway!r}; it must be 0 to 300 seconds")
    owned = bool(issuers) and all(issuer.audiences for issuer in issuers)
    if owned and audience is not None:
        raise ConfigurationError(
            "every issuer here brings its own audience, so the one that is given would never be compared: "
            "leave it out"
        )
    if gcloud_tokens and not any(map(is_google, issuers)):
        raise ConfigurationError("accept_gcloud_tokens is about Google's tokens: add GOOGLE to the issuers")
    ours = None if owned else Audiences(() if audience is None else audience)
    return [
        Expectations(
            issuer,
            Audiences(issuer.audiences) if issuer.audiences or ours is None else ours,
            leeway,
            gcloud_tokens=gcloud_tokens and is_google(issuer),
        )
        for issuer in issuers
    ]
