"""Headers that carry one more which no copy has."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest

from doorward import ConfigurationError
from doorward_integrations.calling.carried import carrying, check_headers_class

NAME = "X-Serverless-Authorization"

both = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@both
def test_the_header_is_sent_and_can_be_read(library: Any) -> None:
    headers = carrying(library.Headers, library.Headers({"a": "b"}), NAME, "Bearer secret")

    assert [(b"a", b"b"), (b"x-serverless-authorization", b"Bearer secret")] == headers.raw
    assert "Bearer secret" == headers[NAME] == headers.get(NAME.lower())
    assert NAME in headers
    headers["c"] = "d"  # as an event hook may
    assert [b"a", b"c", b"x-serverless-authorization"] == [name for name, _ in headers.raw]


@both
def test_no_copy_has_it(library: Any) -> None:
    headers = carrying(library.Headers, library.Headers({"a": "b"}), NAME, "Bearer secret")

    for one in (library.Headers(headers), headers.copy(), library.Headers(dict(headers))):
        assert {"a": "b"} == dict(one)
        assert [(b"a", b"b")] == one.raw
    assert "secret" not in repr(headers)


@both
def test_a_version_whose_copies_have_it_is_refused(library: Any) -> None:
    class Changed(library.Headers):  # type: ignore[misc]
        def __init__(self, headers: Any = None, encoding: str | None = None) -> None:
            super().__init__(headers.raw if isinstance(headers, library.Headers) else headers, encoding)

    check_headers_class(library.Headers)
    with pytest.raises(ConfigurationError, match="copies headers in another way"):
        check_headers_class(Changed)
