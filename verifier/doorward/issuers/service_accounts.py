"""What the address of a service account says about it.

An address says it by its form only: it grants nothing. The forms are those of
https://cloud.google.com/iam/docs/service-account-types and https://cloud.google.com/iam/docs/service-agents.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "AGENT_STARTS",
    "SERVICE_ACCOUNT_DOMAIN",
    "fold",
    "is_service_account",
    "is_service_agent",
    "project_of",
]

SERVICE_ACCOUNT_DOMAIN: Final = ".gserviceaccount.com"
"""The end of the address of every service account, after the only ``@``."""

# Agents whose domain does not begin with "gcp-sa-". An agent that is missing here counts as any other service
# account.
_AGENT_DOMAINS: Final = (
    "cloud-filer",
    r"cloud-ml\.google\.com",
    "cloud-redis",
    "cloud-tpu",
    "cloudcomposer-accounts",
    "compute-system",
    "container-analysis",
    "container-engine-robot",
    "containerregistry",
    "dataflow-service-producer-prod",
    "dataproc-accounts",
    "dlp-api",
    "endpoints-portal",
    "firebase-rules",
    "gcf-admin-robot",
    "serverless-robot-prod",
    "service-networking",
    "sourcerepo-service-accounts",
)
_AGENT: Final = (
    # For a project, a folder or an organization; Access Approval has its own form for the three.
    rf"service-(?:[pfo]|folder-|org-)?[0-9]+@(?:gcp-sa-[a-z0-9-]+|{'|'.join(_AGENT_DOMAINS)})"
    r"\.iam\.gserviceaccount\.com"
    r"|project-[0-9]+@storage-transfer-service\.iam\.gserviceaccount\.com"
    r"|[0-9]+@cloudservices\.gserviceaccount\.com"
)
AGENT_STARTS: Final = frozenset("sp0123456789")
"""The first characters of the addresses of service agents: nearly every other address has another one."""
_OF_PROJECT: Final = r"[a-z0-9-]+@([a-z][a-z0-9-]*)\.iam\.gserviceaccount\.com"
_APP_ENGINE: Final = r"([a-z][a-z0-9-]*)@appspot\.gserviceaccount\.com"


def fold(value: str) -> str:
    """Return an address or a domain in the form in which IAM compares it: without regard to case.

    Args:
        value: As it is written.

    Returns:
        In lower case, if it is ASCII: the lower case of some foreign letters is an ASCII letter.
    """
    return value.lower() if value.isascii() else value


def is_service_account(email: str) -> bool:
    """Return whether an address is that of a service account, by the end of its whole domain.

    Args:
        email: An address with exactly one ``@``, as `fold` returns it.
    """
    return email.endswith(SERVICE_ACCOUNT_DOMAIN)


def is_service_agent(email: str) -> bool:
    """Return whether an address has the form of one of Google's own service agents.

    Args:
        email: The address of a service account, in lower case.
    """
    # The first character rules out almost every other address, without the pattern.
    return email[:1] in AGENT_STARTS and re.fullmatch(_AGENT, email) is not None


def project_of(email: str) -> str | None:
    """Return the project in which a service account was made.

    Args:
        email: The address of a service account, in lower case.

    Returns:
        The id of the project; None where the address does not name it: the default account of Compute Engine
        names the project's number, and service agents belong to projects of Google's.
    """
    if is_service_agent(email):
        return None
    found = re.fullmatch(_OF_PROJECT, email) or re.fullmatch(_APP_ENGINE, email)
    return None if found is None else found[1]
