"""The principal: the caller that a verified token names."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from doorward.issuers.google import GOOGLE
from doorward.issuers.issuer import Identity, Issuer
from doorward.issuers.service_accounts import AGENT_STARTS, is_service_account, is_service_agent, project_of
from doorward.strictjson import freeze, thaw
from doorward.tokens.compute_engine import ComputeEngine, read_compute_engine

__all__ = ["ANONYMOUS", "NO_ADDRESS", "Principal", "PrincipalKind"]


NO_ADDRESS: Final = (
    "its token holds no verified address: ask for one with --include-email (gcloud) or format=full (the "
    "metadata server), or give the policy unique_ids"
)
"""What to do where a Google account is not matched by any member for want of an address."""


class PrincipalKind(StrEnum):
    """The kinds of callers."""

    SERVICE_ACCOUNT = "service_account"
    SERVICE_AGENT = "service_agent"  # a service account that Google made for itself, by its address
    USER = "user"
    EXTERNAL = "external"  # of another identity provider, admitted by Identity-Aware Proxy
    ACCOUNT = "account"  # the token vouches for no address of a Google account
    ANONYMOUS = "anonymous"


# Enum members are looked up slowly through their class.
_SERVICE_ACCOUNT: Final = PrincipalKind.SERVICE_ACCOUNT
_AGENT: Final = PrincipalKind.SERVICE_AGENT
_USER: Final = PrincipalKind.USER
# By whether there is no issuer, and whether the issuer only repeats what another identity provider asserted.
_NO_MEMBER: Final = {
    (True, False): PrincipalKind.ANONYMOUS,
    (False, True): PrincipalKind.EXTERNAL,
    (False, False): PrincipalKind.ACCOUNT,
}


class _Fields:
    """The fields of a principal, while they may still be written."""

    __slots__ = ("claims", "email", "google_account", "hosted_domain", "issuer", "kind", "member", "subject")

    kind: PrincipalKind
    member: str | None
    email: str | None
    subject: str | None
    issuer: str | None
    hosted_domain: str | None
    claims: Mapping[str, object]
    google_account: bool


if TYPE_CHECKING:

    class _ReadOnly:
        """The fields as an application may use them, so that a type checker finds what would write one."""

        @property
        def kind(self) -> PrincipalKind: ...
        @property
        def member(self) -> str | None: ...
        @property
        def email(self) -> str | None: ...
        @property
        def subject(self) -> str | None: ...
        @property
        def issuer(self) -> str | None: ...
        @property
        def hosted_domain(self) -> str | None: ...
        @property
        def claims(self) -> Mapping[str, object]: ...
        @property
        def google_account(self) -> bool: ...

else:
    _ReadOnly = _Fields


class Principal(_ReadOnly):
    """The verified caller of a request; read-only.

    Attributes:
        kind: The kind of caller.
        member: In the form of IAM, ``serviceAccount:EMAIL`` or ``user:EMAIL``, the address in lower case (IAM
            compares it so); None where the token vouches for no address.
        email: The address as the token has it, only if its issuer vouches for it, as ``email_verified`` says;
            else None.
        subject: The unique id of the account, ``sub``; stable where an address can change hands. None for
            anonymous, and where an issuer sends none.
        issuer: The issuer that vouches for it, as the first of its accepted values of ``iss``; None for
            anonymous.
        hosted_domain: The Workspace or Cloud Identity domain of a user, ``hd``; else None.
        claims: All claims of the token, read-only at every depth; arrays are tuples.
        google_account: Whether it is a Google identity, which ``allAuthenticatedUsers`` means.
    """

    __slots__ = ()

    def __new__(cls, claims: Mapping[str, object], issuer: Issuer | None) -> Self:
        """Read a principal out of verified claims; applications get theirs from a verifier.

        Args:
            claims: The verified claims.
            issuer: The issuer that vouches for them; None makes the anonymous principal.
        """
        domain: object
        external = False
        if issuer is not None and issuer.identify is not None:
            verified, google, external, domain = _identity(issuer.identify(claims))
        else:
            # Only true itself: an e-mail grants access, and a string "true" or 1 is no boolean.
            email = claims.get("email") if claims.get("email_verified") is True else None
            verified = email if type(email) is str else None
            google = issuer is not None and issuer.google_accounts
            domain = claims.get("hd")
        member = None
        # To IAM an address means something only where Google vouches for the account.
        if verified is None or not google:
            kind = _NO_MEMBER[issuer is None, external]
        else:
            folded = verified.lower() if verified.isascii() else verified  # as `fold` does it, without a call
            # The end of the whole domain, which the claim rules have made to stand after the only '@'.
            if is_service_account(folded):
                # Nearly every address is no agent's by its first character, without a call.
                agent = folded[0] in AGENT_STARTS and is_service_agent(folded)
                kind = _AGENT if agent else _SERVICE_ACCOUNT
                member = f"serviceAccount:{folded}"
            else:
                kind = _USER
                member = f"user:{folded}"
        fields = object.__new__(_Fields)
        fields.kind = kind
        fields.member = member
        fields.email = verified
        subject = claims.get("sub")
        fields.subject = subject if type(subject) is str else None
        fields.issuer = None if issuer is None else issuer.iss_values[0]
        fields.hosted_domain = domain if type(domain) is str and domain else None
        fields.claims = claims
        fields.google_account = google
        # Of the same layout, but read-only: one assignment in place of eight past the read-only class.
        fields.__class__ = cls  # type: ignore[assignment]  # its layout is the same
        return fields  # type: ignore[return-value]  # by now it is one

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: one principal serves every request that presents its token."""
        raise AttributeError(f"a principal is read-only; {name!r} was not set")

    def __delattr__(self, name: str) -> None:
        """Refuse, as `__setattr__`."""
        raise AttributeError(f"a principal is read-only; {name!r} was not deleted")

    @property
    def anonymous(self) -> bool:
        """Whether no caller was verified."""
        return self.kind is PrincipalKind.ANONYMOUS

    @property
    def project(self) -> str | None:
        """The id of the project of a service account, if its address names it; else None."""
        kind, _, email = (self.member or "").partition(":")
        return project_of(email) if kind == "serviceAccount" else None

    @property
    def compute_engine(self) -> ComputeEngine | None:
        """The virtual machine that the token was made on; None if it does not say, or is not Google's own.

        Only tokens that were asked for with ``format=full``, on a virtual machine, say so.
        """
        # An account that signs its own tokens could write anything there.
        return read_compute_engine(self.claims) if self.issuer == GOOGLE.iss_values[0] else None

    def as_dict(self) -> dict[str, Any]:
        """Return all that is known of the caller as plain data, for JSON.

        Returns:
            ``kind``, ``member``, ``email``, ``subject``, ``issuer``, ``hosted_domain``, ``google_account``
            and ``claims``, as plain dictionaries, lists and values.
        """
        plain = {name: thaw(getattr(self, name)) for name in _Fields.__slots__}
        return plain | {"kind": self.kind.value}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields, so that a job queue can carry a caller to another process."""
        return _restore, (type(self), self.as_dict())

    def __copy__(self) -> Self:
        """Return the principal itself, since it cannot be changed."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return the principal itself, since it cannot be changed at any depth."""
        return self

    def __eq__(self, other: object) -> bool:
        """Compare the callers, not the tokens that named them."""
        # A caller whose signature was checked elsewhere is not equal to one whose signature was checked here.
        if not isinstance(other, Principal) or type(self) is not type(other):
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
        """Show the caller."""
        return f"{type(self).__name__}({self})"


def _restore(cls: type[Principal], plain: dict[str, Any]) -> Principal:
    """Make a principal of what `Principal.as_dict` returned."""
    fields = object.__new__(_Fields)
    for name, value in plain.items():
        setattr(fields, name, freeze(value))
    fields.kind = PrincipalKind(plain["kind"])
    fields.__class__ = cls  # type: ignore[assignment]  # as above
    return fields  # type: ignore[return-value]  # by now it is one


def _identity(found: Identity) -> Identity:
    """Keep an identity of another identity provider from being a Google account."""
    return found._replace(google_account=False, email=None, hosted_domain=None) if found.external else found


ANONYMOUS: Final = Principal(MappingProxyType({}), None)
"""The principal of a request without a verified caller."""
