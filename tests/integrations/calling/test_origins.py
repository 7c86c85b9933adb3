"""To which origins a token goes, and for which audience."""

from __future__ import annotations

from typing import Any

import pytest

from doorward import ConfigurationError
from doorward_integrations.calling.origins import Destinations, Origin, read_origin
from support.tokens import AUDIENCE

CALL = "HttpxAuth(...)"
HERE = "http://127.0.0.1:8080"


def origin(url: str) -> Origin:
    found = read_origin(url)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Orders.Example", ("https", "orders.example", 443)),
        ("HTTPS://orders.example:8443/a?b#c", ("https", "orders.example", 8443)),
        ("http://[::1]:80/", ("http", "[::1]", 80)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: tuple[str, str, int]) -> None:
    assert expected == read_origin(url)


@pytest.mark.parametrize(
    "url",
    [
        "orders.example",
        "ftp://orders.example",
        "https://user@orders.example",
        "https://orders.example\\@evil.example",
        "https://orders.example:0",
        "https://orders.example:65536",
        "https://orders.example:80:80",
        "https://",
        "https://ördérs.example",
        "https://orders.example\n",
        "https://orders%2eexample",
    ],
)
def test_what_url_parsers_may_read_in_two_ways_is_no_origin(url: str) -> None:
    assert read_origin(url) is None


class TestBinding:
    def test_an_audience_that_is_a_url_goes_to_its_origin_alone(self) -> None:
        destinations = Destinations(f"{AUDIENCE}/path", call=CALL)

        assert f"{AUDIENCE}/path" == destinations.audience_for(origin(AUDIENCE))
        for other in ("https://orders.example", f"{AUDIENCE}:8443", f"{AUDIENCE}.evil.example"):
            with pytest.raises(ConfigurationError, match="and not to"):
                destinations.audience_for(origin(other))

    def test_it_goes_to_the_origins_that_are_named_instead(self) -> None:
        destinations = Destinations(AUDIENCE, [HERE, "https://orders.example"], call=CALL)

        assert AUDIENCE == destinations.audience_for(origin(HERE))
        assert AUDIENCE == destinations.audience_for(origin("https://orders.example/x"))
        with pytest.raises(ConfigurationError, match="and not to"):
            destinations.audience_for(origin(AUDIENCE))

    @pytest.mark.parametrize("audience", ["my-orders", "http://orders.example", "orders.example"])
    def test_an_audience_that_says_no_origin_needs_one(self, audience: str) -> None:
        with pytest.raises(ConfigurationError, match="where its tokens may be sent"):
            Destinations(audience, call=CALL)
        assert audience == Destinations(audience, HERE, call=CALL).audience_for(origin(HERE))

    @pytest.mark.parametrize(
        "given",
        ["http://orders.example", "http://10.0.0.7:8080", "http://metadata.google.internal"],
    )
    def test_an_origin_without_tls_elsewhere_is_refused(self, given: str) -> None:
        with pytest.raises(ConfigurationError, match="without TLS"):
            Destinations(AUDIENCE, given, call=CALL)

    @pytest.mark.parametrize("given", ["orders.example", "https://orders.example/path", "", 5, None])
    def test_what_is_no_origin_is_refused(self, given: Any) -> None:
        with pytest.raises(ConfigurationError, match="is not an origin"):
            Destinations(AUDIENCE, [given], call=CALL)

    def test_origins_without_an_audience_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="origins without an audience"):
            Destinations(None, HERE, call=CALL)


class TestDerived:
    @pytest.mark.parametrize(
        "url",
        [AUDIENCE, "https://orders-abcdefghij-ew.a.run.app", "https://orders-1234567890.us-east4.run.app"],
    )
    def test_a_cloud_run_service_is_its_own_audience(self, url: str) -> None:
        assert url == Destinations(None, call=CALL).audience_for(origin(f"{url}/orders?id=7"))

    @pytest.mark.parametrize(
        "url",
        [
            "https://orders.example",
            f"{AUDIENCE}:8443",
            f"{AUDIENCE}.evil.example",
            "https://canary---orders-1234567890.europe-west1.run.app",
            "https://run.app",
            "http://127.0.0.1:8080",
        ],
    )
    def test_no_other_host_gets_a_token(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="give the audience"):
            Destinations(None, call=CALL).audience_for(origin(url))


@pytest.mark.parametrize("audience", [None, AUDIENCE])
@pytest.mark.parametrize("url", [AUDIENCE.replace("https", "http"), "http://127.0.0.1.evil.example:80"])
def test_nothing_goes_over_plain_http_to_another_machine(audience: str | None, url: str) -> None:
    with pytest.raises(ConfigurationError, match="without TLS"):
        Destinations(audience, call=CALL).audience_for(origin(url))


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_plain_http_to_this_machine_does_not_go_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    destinations = Destinations(AUDIENCE, HERE, call=CALL)
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    with pytest.raises(ConfigurationError, match="NO_PROXY"):
        destinations.audience_for(origin(HERE))

    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    assert AUDIENCE == destinations.audience_for(origin(HERE))
