"""The audiences that Cloud Run accepts for a service: its URLs, and its custom audiences.

Facts from https://cloud.google.com/run/docs/triggering/https-request (the two forms of URL),
https://cloud.google.com/run/docs/authenticating/service-to-service and
https://cloud.google.com/run/docs/configuring/custom-audiences. What works and is not documented is a
setting here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Self

from doorward.audiences.service_description import read_description
from doorward.errors import ConfigurationError

if TYPE_CHECKING:
    from doorward.audiences.service_detection import FetchText

__all__ = ["CloudRunAudience"]

_CUSTOM_LIMIT: Final = 32_768
_LABEL_LIMIT: Final = 63  # of one segment of a host name (RFC 1035, section 2.3.4)
_TAG_MARK: Final = "---"

_NAME: Final = "[a-z](?:[a-z0-9-]*[a-z0-9])?"
_REGION: Final = "[a-z]+-[a-z]+[0-9]+"
_HOST: Final = re.compile(
    # Deterministic, or with a hash and the code of a region.
    rf"{_NAME}-[0-9]+\.{_REGION}\.run\.app|{_NAME}-[a-z0-9]+-[a-z]+[0-9]*\.a\.run\.app"
)
_FUNCTION: Final = re.compile(
    rf"https://{_REGION}-[a-z][a-z0-9-]*\.cloudfunctions\.net/[A-Za-z][A-Za-z0-9_-]*"
)
# No percent sign, no backslash, nothing that any parser could take for the end of the path.
_AUD: Final = re.compile(r"https://([a-z0-9.-]+)((?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*)")


class CloudRunAudience:
    """All audiences of one Cloud Run service or function.

    A token is meant for the service if its audience is one of the service's ``run.app`` URLs, with or without
    a slash at the end; the whole URL of a function, exactly; or a custom audience, exactly. In lower case,
    without a port, a user, a query or a fragment: Cloud Run answers 401 to the last two.

    Example:
        ``Verifier(CloudRunAudience("https://orders-1234567890.europe-west1.run.app"))``
    """

    __slots__ = ("_allow_path", "_allow_tags", "_exact", "_hosts", "_named")

    def __init__(
        self,
        urls: str | Iterable[str],
        *,
        custom_audiences: Iterable[str] = (),
        allow_path: bool = True,
        allow_tags: bool = False,
    ) -> None:
        """Name the audiences.

        Args:
            urls: The URLs of the service, without a tag: ``https://SERVICE-NUMBER.REGION.run.app`` and
                ``https://SERVICE-HASH-CODE.a.run.app``; or of a function,
                ``https://REGION-PROJECT.cloudfunctions.net/FUNCTION``, whole.
            custom_audiences: The service's custom audiences, compared exactly.
            allow_path: Whether a path may follow a ``run.app`` URL. No page says so, but it is seen to work,
                and Pub/Sub, Cloud Tasks and Cloud Scheduler rely on it: by default their audience is the
                whole URL they call. Any such token is for this service in any case.
            allow_tags: Whether the URL of a tag, ``https://TAG---SERVICE…``, is one of the service's. Whether
                Cloud Run accepts it is not documented.

        Raises:
            ConfigurationError: If there is no URL, or one is none of Cloud Run's, or a custom audience is
                empty or they are too many.
        """
        given = [urls] if isinstance(urls, str) else list(urls)
        if not given:
            raise ConfigurationError("a Cloud Run service has at least one URL: gcloud run services describe")
        hosts, functions = set(), set()
        for url in given:
            if isinstance(url, str) and _FUNCTION.fullmatch(url):
                functions.add(url)
            else:
                hosts.add(_host_of(url))
        bases = {f"https://{host}" for host in hosts}
        custom = _custom(custom_audiences)
        self._hosts: Final = frozenset(hosts)
        self._named: Final = tuple(sorted(bases | functions | custom))
        self._exact: Final = frozenset({*bases, *(f"{base}/" for base in bases), *functions, *custom})
        self._allow_path: Final = allow_path
        self._allow_tags: Final = allow_tags

    @classmethod
    def from_parts(
        cls,
        service: str,
        *,
        project_number: str | int,
        region: str,
        url_hash: str | None = None,
        region_code: str | None = None,
        custom_audiences: Iterable[str] = (),
        allow_path: bool = True,
        allow_tags: bool = False,
    ) -> Self:
        """Work out the URLs of a service.

        Args:
            service: Its name.
            project_number: The number of its project.
            region: Its region, such as ``europe-west1``.
            url_hash: The hash in its other URL, which cannot be worked out.
            region_code: The code of the region in that URL, such as ``ew``; goes with the hash.
            custom_audiences: As for the constructor.
            allow_path: As for the constructor.
            allow_tags: As for the constructor.

        Returns:
            The audiences.

        Raises:
            ConfigurationError: If a part is something else, or the service has no such URL since its name is
                too long for one.
        """
        if not re.fullmatch("[0-9]+", str(project_number)):
            raise ConfigurationError(f"{project_number!r} is not the number of a project; its id will not do")
        urls = [f"https://{service}-{project_number}.{region}.run.app"]
        if (url_hash is None) != (region_code is None):
            raise ConfigurationError(
                "url_hash and region_code go together: https://SERVICE-HASH-CODE.a.run.app"
            )
        if url_hash is not None:
            urls.append(f"https://{service}-{url_hash}-{region_code}.a.run.app")
        return cls(urls, custom_audiences=custom_audiences, allow_path=allow_path, allow_tags=allow_tags)

    @classmethod
    def function(cls, *, project: str, region: str, name: str) -> Self:
        """Make the audience of a function: its URL, whole.

        Args:
            project: The id of its project.
            region: Its region.
            name: Its name.

        Returns:
            The audiences.

        Raises:
            ConfigurationError: If a part is something else.
        """
        url = f"https://{region}-{project}.cloudfunctions.net/{name}"
        if not _FUNCTION.fullmatch(url):
            raise ConfigurationError(f"{url!r} is not the URL of a function")
        return cls(url)

    @classmethod
    def from_description(
        cls, description: Mapping[str, object], *, allow_path: bool = True, allow_tags: bool = False
    ) -> Self:
        """Read the audiences out of the description of a service.

        Args:
            description: What ``gcloud run services describe --format=json`` prints, or version 2 of the API
                answers, as read by `json.load`.
            allow_path: As for the constructor.
            allow_tags: As for the constructor.

        Returns:
            The audiences.

        Raises:
            ConfigurationError: If it names no URL, or is no such description.
        """
        urls, custom = read_description(description)
        return cls(urls, custom_audiences=custom, allow_path=allow_path, allow_tags=allow_tags)

    @classmethod
    def detect(
        cls,
        *,
        custom_audiences: Iterable[str] = (),
        allow_path: bool = True,
        allow_tags: bool = False,
        environ: Mapping[str, str] | None = None,
        fetch: FetchText | None = None,
    ) -> Self:
        """Find out from the metadata server, on Cloud Run, which service this is.

        Not known there: the URL with a hash, custom audiences, the ``cloudfunctions.net`` URL
        of a function. Tokens for those are refused unless they are given.

        Args:
            custom_audiences: As for the constructor.
            allow_path: As for the constructor.
            allow_tags: As for the constructor.
            environ: The environment; the process's own by default.
            fetch: How to ask the metadata server; over httpx by default.

        Returns:
            The audiences: the deterministic URL, and what was given.

        Raises:
            ConfigurationError: If this is not Cloud Run, if the metadata server does not answer, or if the
                environment names one elsewhere.
        """
        from doorward.audiences.service_detection import ask_for_service  # noqa: PLC0415 - on Cloud Run only

        service = ask_for_service(environ, fetch)
        return cls.from_parts(
            service.name,
            project_number=service.project_number,
            region=service.region,
            custom_audiences=custom_audiences,
            allow_path=allow_path,
            allow_tags=allow_tags,
        )

    def accepts(self, aud: str, /) -> bool:
        """Return whether a token for an audience is meant for this service.

        Args:
            aud: The ``aud`` of a token.
        """
        if aud in self._exact:
            return True
        if not (self._allow_path or self._allow_tags) or (found := _AUD.fullmatch(aud)) is None:
            return False
        host, path = found.groups()
        return (path in ("", "/") or self._allow_path) and (
            host in self._hosts or (self._allow_tags and _untagged(host) in self._hosts)
        )

    def __str__(self) -> str:
        """Name all of them."""
        return " or ".join(self._named)

    def __repr__(self) -> str:
        """Show them, and the settings."""
        settings = f"allow_path={self._allow_path}, allow_tags={self._allow_tags}"
        return f"CloudRunAudience({self}, {settings})"


def _untagged(host: str) -> str | None:
    """Take the tag from a host; None if it has none, or more than fits in front of a service."""
    tag, mark, base = host.partition(_TAG_MARK)
    fits = len(host.partition(".")[0]) <= _LABEL_LIMIT and not base.startswith("-")
    return base if mark and fits and re.fullmatch(_NAME, tag) else None


def _host_of(url: object) -> str:
    """Take the host of a service's URL, and refuse what Cloud Run never gave a service."""
    host = url.removeprefix("https://").removesuffix("/") if isinstance(url, str) else ""
    known = isinstance(url, str) and url.startswith("https://") and _HOST.fullmatch(host)
    if not known or _TAG_MARK in host or len(host.partition(".")[0]) > _LABEL_LIMIT:
        raise ConfigurationError(
            f"{url!r} is not the URL of a Cloud Run service without a tag, such as "
            "https://SERVICE-NUMBER.REGION.run.app, nor the whole URL of a function. A domain of your own "
            "is no audience to Cloud Run, unless it is configured as one: custom_audiences=[...]"
        )
    return host


def _custom(given: Iterable[str]) -> set[str]:
    if isinstance(given, str):
        raise ConfigurationError("custom_audiences must be a list of strings")
    custom = list(given)
    if not all(isinstance(one, str) and one for one in custom):
        raise ConfigurationError("a custom audience must be a string, and not empty")
    # The shortest encoding: what is over the limit in this one, is so in any.
    if len(json.dumps(custom, ensure_ascii=False, separators=(",", ":"))) > _CUSTOM_LIMIT:
        raise ConfigurationError(
            f"the custom audiences are over {_CUSTOM_LIMIT} characters as JSON, more than Cloud Run takes"
        )
    return set(custom)
