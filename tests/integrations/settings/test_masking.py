"""What is not shown of a setting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward_integrations.settings.masking import masked
from support.tokens import SigningKey, token


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:pw@host/path", "https://***@host/path"),
        ("https://pw@host", "https://***@host"),
        ("https://a@b@host/", "https://***@host/"),
        ("'https://host/keys?key=1&x=2' and more", "'https://host/keys?***' and more"),
        ("user:ada@example.com", "user:ada@example.com"),
        ("https://host/path@1", "https://host/path@1"),
        ("GET /healthz", "GET /healthz"),
    ],
)
def test_the_user_and_the_query_of_a_url_are_hidden(text: str, expected: str) -> None:
    assert expected == masked(text)


@given(st.from_regex(r"[A-Za-z0-9:_-]{1,20}", fullmatch=True))
def test_no_password_is_left(secret: str) -> None:
    assert "https://***@host.example/path?***" == masked(
        f"https://{secret}:{secret}@host.example/path?{secret}"
    )


def test_a_token_is_cut_short() -> None:
    raw = token(SigningKey("key-1"), 1_700_000_000)

    shown = masked(f"{raw} is not the URL of a service")

    assert shown == f"{raw[:8]}… is not the URL of a service"
