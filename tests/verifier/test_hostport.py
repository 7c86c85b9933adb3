"""Which texts name this machine, the same on every version of Python."""

from __future__ import annotations

import pytest

from doorward.hostport import is_loopback_address, is_on_this_machine


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.255.255", "127.1.20.249", "[::1]"])
@pytest.mark.parametrize("port", [":1", ":80", ":8099", ":65535"])
def test_a_loopback_host_with_a_port_is_this_machine(host: str, port: str) -> None:
    assert is_on_this_machine(host + port)
    assert is_on_this_machine(host + port, without_port=True)
    assert is_on_this_machine(host, without_port=True)
    assert not is_on_this_machine(host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "evil.example:80",
        "localhost.evil.example:80",
        "127.0.0.1.evil.example:80",
        "evil.example@127.0.0.1:80",
        "127.0.0.1:80@evil.example",
        "127.0.0.1:80/..",
        "[::1].evil.example:80",
        "evil[::1]:80",
        "[::1]evil:80",
        "::1:80",
        "[::2]:80",
        "128.0.0.1:80",
        "127.0.0.256:80",
        "127.0.0:80",
        "0127.0.0.1:80",
        "127.0.0.1:0",
        "127.0.0.1:00080",
        "127.0.0.1:65536",
        "127.0.0.1:655350",
        "127.0.0.1:+80",
        "127.0.0.1: 80",
        "127.0.0.1:\u0668\u0660",
        " 127.0.0.1:80",
        "127.0.0.1:80\n",
        "127.0.0.1\n:80",
    ],
    ids=repr,
)
@pytest.mark.parametrize("without_port", [True, False])
def test_nothing_else_is(text: str, without_port: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert not is_on_this_machine(text, without_port=without_port)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.255.0.9", "::1", "0:0:0:0:0:0:0:1"])
def test_an_address_of_this_machine_alone_is_a_loopback_address(text: str) -> None:
    assert is_loopback_address(text)


@pytest.mark.parametrize(
    "text", ["", "localhost", "[::1]", "127.0.0.1:80", "0.0.0.0", "::", "10.0.0.1", "127.1"]
)
def test_no_other_text_is_a_loopback_address(text: str) -> None:
    assert not is_loopback_address(text)
