"""The readings of a path: every path by which the application behind could route a request."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.policy.paths import readings_of


@pytest.mark.parametrize(
    "path", ["/", "/admin", "/a/b.c/d-e_f~g", "/a:b@c!$&'()*+,=", "/ü/日本", "/a b", "/...", "/.well-known/x"]
)
def test_an_ordinary_path_has_one_reading(path: str) -> None:
    assert (path,) == readings_of(path)


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("//admin", "/admin"),
        ("/x/../admin", "/admin"),
        ("/./admin", "/admin"),
        ("/x//../admin", "/admin"),
        ("/x//../admin", "/x/admin"),
        ("/public\\..\\admin", "/admin"),
        ("\\admin", "/admin"),
        ("/admin;v=1/users", "/admin/users"),
        ("/%61dmin", "/admin"),
        ("/x/%2e%2e/admin", "/admin"),
        ("/x/..%2fadmin", "/admin"),
        ("/../../admin", "/admin"),
        ("/admin/.", "/admin/"),
        ("/admin/x/..", "/admin/"),
        ("/a/;p/../../admin", "/admin"),
    ],
)
def test_what_some_reader_makes_of_a_path_is_among_its_readings(path: str, hidden: str) -> None:
    found = readings_of(path)

    assert path == found[0]
    assert hidden in found


def test_the_path_as_sent_is_a_reading_where_it_is_encoded() -> None:
    assert ("/x/y", "/x%2Fy") == readings_of("/x/y", "/x%2Fy")
    assert ("/x/y",) == readings_of("/x/y", "/x/y")


def test_a_root_path_gives_a_reading_with_it_and_one_without() -> None:
    assert {"/api/admin", "/admin"} == set(readings_of("/api/admin", roots=["/api"]))
    assert {"/api/admin", "/admin"} == set(readings_of("/admin", roots=["/api/"]))
    assert {"/api", "/"} == set(readings_of("/api", roots=["/api"]))
    assert {"/apis", "/api/apis"} == set(readings_of("/apis", roots=["/api"]))


def test_under_a_public_prefix_only_readings_with_it_count() -> None:
    assert ("/api/admin",) == readings_of("/admin", public_prefix="/api")
    assert ("/api/admin",) == readings_of("/api/admin", public_prefix="/api")
    assert "/api/admin" in readings_of("/public/../admin", public_prefix="/api")
    assert "/api/admin" in readings_of("/api/public/../admin", public_prefix="/api")


@pytest.mark.parametrize("path", ["/\ud800", "/x\udfff/y", "/%\udc80"])
def test_a_path_that_is_not_unicode_has_no_reading(path: str) -> None:
    assert () == readings_of(path)
    assert () == readings_of(path, roots=["/api"])


SEGMENTS = st.sampled_from(
    ["", ".", "..", "a", "b", "admin", "a.b", "...", "%2e", "%2E%2e", "x;y", "c\\d", "ü"]
)
PATHS = st.lists(SEGMENTS, max_size=8).map(lambda parts: "/" + "/".join(parts))


@given(PATHS)
@settings(deadline=None, max_examples=400)
def test_no_reader_that_resolves_finds_a_path_that_is_not_a_reading(path: str) -> None:
    found = {one.rstrip("/") for one in readings_of(path)}

    assert posixpath.normpath(path).replace("//", "/").rstrip("/") in found
    assert path.rstrip("/") in found
    merged = path
    while "//" in merged:
        merged = merged.replace("//", "/")
    assert merged.rstrip("/") in found


@given(st.text(max_size=40), st.text(max_size=40), st.lists(st.text(max_size=5), max_size=2))
@settings(deadline=None, max_examples=400)
def test_any_text_has_few_readings_and_none_is_longer_than_it_and_its_roots(
    path: str, sent: str, roots: list[str]
) -> None:
    found = readings_of(path, sent, roots)

    assert len(found) == len(set(found)) <= 3 * 32 * 4
    longest = max(len(path), len(sent)) + sum(map(len, roots)) + 1
    assert all(len(one) <= longest for one in found)
    for one in found:
        one.encode()
