"""Which service a request is for."""

from __future__ import annotations

import pytest

from doorward import ConfigurationError
from doorward.policy.request import PlainRequest
from doorward.services.routes import Routes, ServiceRoute

RUN = "orders-1234567890.europe-west1.run.app"


def routes(**places: tuple[list[str], str]) -> Routes:
    made = Routes()
    for name, (hosts, prefix) in places.items():
        made.put(name, ServiceRoute.read(hosts, prefix))
    return made


def found(table: Routes, host: str = "", path: str = "/", *more: str) -> str | None:
    headers = [(b"host", one.encode()) for one in (host, *more) if one]
    return table.find(headers, PlainRequest(path))


@pytest.mark.parametrize("host", [RUN, RUN.upper(), f"{RUN}:443", f"canary---{RUN}", f"pr-12---{RUN}:8080"])
def test_a_host_is_found_as_run_app_finds_it(host: str) -> None:
    assert "orders" == found(routes(orders=([RUN], "")), host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        f"{RUN}.",
        f"x{RUN}",
        f"---{RUN}",
        f"1---{RUN}",
        f"a--{RUN}",
        "run.app",
        f"{RUN}.evil.example",
        f"{RUN}/x",
        f"a@{RUN}",
    ],
)
def test_a_host_that_only_resembles_it_is_not_found(host: str) -> None:
    assert None is found(routes(orders=([RUN], "")), host)


def test_a_tag_is_part_of_the_name_elsewhere() -> None:
    assert None is found(routes(orders=(["orders.example"], "")), "tag---orders.example")


def test_a_tagged_host_may_be_a_service_of_its_own() -> None:
    table = routes(orders=([RUN], ""), canary=([f"canary---{RUN}"], ""))
    assert ["canary", "orders"] == [found(table, f"{tag}---{RUN}") for tag in ("canary", "other")]


def test_two_hosts_in_one_request_are_no_host() -> None:
    table = routes(orders=([RUN], ""), bills=(["bills"], ""))
    assert None is found(table, RUN, "/", "bills")
    assert "orders" == found(table, RUN, "/", RUN)


def test_the_host_of_the_facts_counts_where_no_header_names_one() -> None:
    assert "orders" == routes(orders=([RUN], "")).find([], PlainRequest("/", host=RUN))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", None),
        ("/a", "a"),
        ("/a/", "a"),
        ("/a/x/y", "a"),
        ("/ab", None),
        ("/a/b", "ab"),
        ("/a/b/c", "ab"),
        ("/a/bc", "a"),
        ("/a/../b", None),
        ("/a/./b", None),
        ("//a", None),
        ("/a//b", None),
        ("/A", None),
    ],
)
def test_the_longest_prefix_in_whole_segments_is_found_under_every_reading(
    path: str, expected: str | None
) -> None:
    assert expected == found(routes(a=([], "/a"), ab=([], "/a/b/")), "any", path)


def test_a_host_goes_before_every_host_and_each_has_prefixes() -> None:
    table = routes(here=(["h"], "/x"), everywhere=([], "/x"), deep=([], "/x/y"), rest=(["h"], ""))
    assert ["here", "here", "rest"] == [found(table, "h", path) for path in ("/x", "/x/y", "/z")]
    assert ["everywhere", "deep", None] == [found(table, "other", path) for path in ("/x", "/x/y", "/z")]


def test_a_path_of_many_segments_costs_no_more_than_the_prefixes_have() -> None:
    table = routes(a=([], "/a"))

    class Counting(str):
        __slots__ = ()
        looks = 0

        def find(self, *arguments: object) -> int:
            Counting.looks += 1
            return super().find(*arguments)  # type: ignore[arg-type]

    assert "a" == table.at("", Counting("/a" + "/x" * 10_000))
    assert 1 == Counting.looks


def test_a_path_that_cannot_be_read_is_for_no_service() -> None:
    assert None is found(routes(a=([], "/a")), "any", "/a/\udcff")


@pytest.mark.parametrize(
    ("hosts", "prefix", "message"),
    [
        ([], "", "by its hosts, by the prefix"),
        ([], "/", "by its hosts, by the prefix"),
        (["https://h"], "", "is not a host"),
        (["h:80"], "", "is not a host"),
        (["h/x"], "", "is not a host"),
        (["höst"], "", "is not a host"),
        ([None], "", "is not a host"),
        ([], "a", "plain path"),
        ([], "/a/../b", "plain path"),
        ([], "/a//b", "plain path"),
        ([], "/a%2fb", "plain path"),
        ([], None, "plain path"),
    ],
)
def test_a_place_that_cannot_be_is_refused(hosts: list[str], prefix: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ServiceRoute.read(hosts, prefix)


def test_one_host_may_be_given_as_a_text() -> None:
    assert ("h",) == ServiceRoute.read("h", "").hosts


def test_a_removed_route_leaves_those_of_the_others() -> None:
    table = routes(a=(["h"], "/a"), b=(["h"], "/b"))
    table.remove("a")
    table.remove("a")
    assert [None, "b"] == [found(table, "h", path) for path in ("/a", "/b")]
    table.remove("b")
    assert {} == table._table


def test_a_changed_route_is_found_only_at_its_new_place() -> None:
    table = routes(a=(["g", "h"], "/a"))
    table.put("a", ServiceRoute.read(["h", "i"], "/a"))
    assert [None, "a", "a"] == [found(table, host, "/a") for host in ("g", "h", "i")]
    table.put("a", ServiceRoute.read(["h"], ""))
    assert ["a", None] == [found(table, host, "/z") for host in ("h", "i")]


def test_a_place_that_is_taken_changes_nothing() -> None:
    table = routes(a=(["h"], ""))
    with pytest.raises(ConfigurationError, match="'a' has the host 'h' already"):
        table.put("b", ServiceRoute.read(["g", "h"], ""))
    assert [None, "a"] == [found(table, host) for host in ("g", "h")]
