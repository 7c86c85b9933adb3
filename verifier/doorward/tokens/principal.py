"""Who is calling, as far as the verified token says so."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from doorward.tokens.issuers import Issuer

__all__ = ["ANONYMOUS", "Principal", "PrincipalKind"]

_SERVICE_ACCOUNT_DOMAIN: Final = ".gserviceaccount.com"


class PrincipalKind(StrEnum):
    """What sort of caller it is."""

    SERVICE_ACCOUNT = "service_account"
    USER = "user"
    ACCOUNT = "account"  # the token vouches for no address: either of the two
    ANONYMOUS = "anonymous"


class Principal:
    """The verified caller of a request; read-only.

    Attributes:
        kind: What sort of caller it is.
        member: As IAM spells it, ``serviceAccount:EMAIL`` or ``user:EMAIL``, the address in lower case (IAM
            compares it so); None where the token vouches for no address.
        email: The address as the token has it, only if the token says that it is verified; else None.
        subject: The unique id of the account, ``sub``; stable where an address can change hands. None for
            anonymous.
        issuer: Who vouches for it, in the first of the accepted spellings of ``iss``; None for anonymous.
        hosted_domain: The Workspace or Cloud Identity domain of a user, ``hd``; else None.
        claims: All claims of the token, read-only at every depth; arrays are tuples.
        google_account: Whether it is a Google identity, which ``allAuthenticatedUsers`` means.
    """

    __slots__ = ("claims", "email", "google_account", "hosted_domain", "issuer", "kind", "member", "subject")

    kind: PrincipalKind
    member: str | None
    email: str | None
    subject: str | None
    issuer: str | None
    hosted_domain: str | None
    claims: Mapping[str, object]
    google_account: bool

    def __init__(self, claims: Mapping[str, object], issuer: Issuer | None) -> None:
        """Read a principal out of verified claims; applications get theirs from a verifier.

        Args:
            claims: The verified claims.
            issuer: Who vouches for them; None makes the anonymous principal.
        """
        put = object.__setattr__
        email = claims.get("email")
        google = issuer is not None and issuer.google_accounts
        # Only true itself: a string "true" or 1 is somebody else's idea of a boolean, and an e-mail grants
        # access.
        verified = email if type(email) is str and claims.get("email_verified") is True else None
        kind = PrincipalKind.ANONYMOUS if issuer is None else PrincipalKind.ACCOUNT
        member = None
        # To IAM an address means something only where Google vouches for the account.
        if verified is not None and google:
            # IAM compares addresses without regard to case. Only ASCII is folded: some foreign letters fold
            # into it.
            folded = verified.lower() if verified.isascii() else verified
            # The end of the whole domain, which the claim rules have made to stand after the only '@'.
            if folded.endswith(_SERVICE_ACCOUNT_DOMAIN):
                kind = PrincipalKind.SERVICE_ACCOUNT
                member = f"serviceAccount:{folded}"
            else:
                kind = PrincipalKind.USER
                member = f"user:{folded}"
        domain = claims.get("hd")
        put(self, "kind", kind)
        put(self, "member", member)
        put(self, "email", verified)
        put(self, "subject", claims.get("sub"))
        put(self, "issuer", None if issuer is None else issuer.spellings[0])
        put(self, "hosted_domain", domain if type(domain) is str and domain else None)
        put(self, "claims", claims)
        put(self, "google_account", google)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: one principal serves every request that presents its token."""
        raise AttributeError(f"a principal is read-only; {name!r} was not set")

    def __delattr__(self, name: str) -> None:
        """Refuse, as `__setattr__`."""
        raise AttributeError(f"a principal is read-only; {name!r} was not deleted")

    @property
    def anonymous(self) -> bool:
        """Whether nobody said who they are."""
        return self.kind is PrincipalKind.ANONYMOUS

    def __eq__(self, other: object) -> bool:
        """Compare who it is, not which token said so."""
        if not isinstance(other, Principal):
            return NotImplemented
        return (self.issuer, self.subject, self.member) == (other.issuer, other.subject, other.member)

    def __hash__(self) -> int:
        """Hash as compared."""
        return hash((self.issuer, self.subject, self.member))

    def __str__(self) -> str:
        """Give the member, or the unique id where there is no address."""
        if self.member is not None:
            return self.member
        return "anonymous" if self.subject is None else f"subject:{self.subject}"

    def __repr__(self) -> str:
        """Show who it is."""
        return f"Principal({self})"


ANONYMOUS: Final = Principal(MappingProxyType({}), None)
"""Whoever calls without saying who they are."""
