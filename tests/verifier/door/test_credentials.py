from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Admission, Door, InvokerPolicy, Refusal
from doorward.door.credentials import (
    AUTHORIZATION,
    SERVERLESS_AUTHORIZATION,
    Credential,
    CredentialHeaders,
    explain_no_token,
    find_credential,
    find_iap_assertion,
)
from doorward.errors import CredentialError, Reason, TokenError
from support.tokens import MEMBER
from support.world import World

A = b"authorization"
S = b"x-serverless-authorization"
I = b"x-goog-iap-jwt-assertion"  # noqa: E741 - beside A and S


def refused(*headers: tuple[bytes, bytes]) -> Reason:
    with pytest.raises(CredentialError) as caught:
        explained(find_credential(headers))
    assert caught.value.claim is None
    return caught.value.reason


def explained(found: Credential | None) -> Credential | None:
    """Go on as the door does with a credential that the verifier has refused."""
    if found is not None and (error := explain_no_token(found[1])) is not None:
        raise error
    return found


# Which header.


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"x"), (b"cookie", b"authorization=Bearer a.b.c")],
        [(b"proxy-authorization", b"Bearer a.b.c")],
        [(b"x-authorization", b"Bearer a.b.c"), (b"x-forwarded-authorization", b"Bearer a.b.c")],
        [(b"authorization ", b"Bearer a.b.c"), (b"authorizations", b"Bearer a.b.c")],
        [(b"x_serverless_authorization", b"Bearer a.b.c")],
    ],
)
def test_a_request_without_either_header_carries_no_credential(headers: list[tuple[bytes, bytes]]) -> None:
    assert find_credential(headers) is None


@pytest.mark.parametrize("name", [A, S])
def test_either_header_is_the_credential(name: bytes) -> None:
    assert (1, b"a.b.c") == find_credential([(b"host", b"x"), (name, b"Bearer a.b.c")])


@pytest.mark.parametrize(
    ("headers", "position"),
    [
        ([(A, b"Bearer own"), (S, b"Bearer platform")], 1),
        ([(S, b"Bearer platform"), (A, b"Bearer own")], 0),
        ([(A, b"Basic eDp5"), (b"host", b"x"), (S, b"Bearer platform")], 2),
        ([(A, b""), (S, b"Bearer platform")], 1),
        ([(A, b"Bearer own"), (A, b"Bearer own"), (S, b"Bearer platform")], 2),
        ([(S, b"Bearer platform"), (A, b"Bearer own"), (A, b"Bearer own")], 0),
        ([(A, b"Bearer own"), (S, b"Bearer platform"), (A, b"Bearer own")], 1),
    ],
    ids=["after", "before", "basic", "empty", "after two", "before two", "between two"],
)
def test_where_the_serverless_header_is_there_nothing_else_is_looked_at(
    headers: list[tuple[bytes, bytes]], position: int
) -> None:
    assert (position, b"platform") == find_credential(headers)


@pytest.mark.parametrize(
    "headers",
    [
        [(A, b"Bearer a.b.c"), (A, b"Bearer a.b.c")],
        [(A, b"Bearer a.b.c"), (b"host", b"x"), (A, b"")],
        [(A, b""), (A, b"Bearer a.b.c"), (A, b"Bearer a.b.c")],
        [(S, b"Bearer a.b.c"), (S, b"Bearer a.b.c")],
        [(S, b"Bearer a.b.c"), (A, b"Bearer own"), (S, b"")],
        [(A, b"Bearer own"), (A, b"Bearer own"), (S, b"Bearer a"), (S, b"Bearer b")],
    ],
)
def test_the_deciding_header_may_not_occur_twice(headers: list[tuple[bytes, bytes]]) -> None:
    assert Reason.MULTIPLE_HEADERS == refused(*headers)


def test_an_empty_serverless_header_does_not_fall_back_to_the_other() -> None:
    assert Reason.EMPTY_CREDENTIAL == refused((S, b""), (A, b"Bearer a.b.c"))


# What stands in it.


@pytest.mark.parametrize("name", [A, S])
@pytest.mark.parametrize(
    "value",
    [
        b"Bearer a.b.c",
        b"bearer a.b.c",
        b"BEARER a.b.c",
        b"bEaReR a.b.c",
        b"Bearer   a.b.c",
        b" Bearer a.b.c",
        b"Bearer a.b.c \t",
        b"\tBearer a.b.c",
        b"Bearer \ta.b.c",
    ],
    ids=repr,
)
def test_the_scheme_is_read_without_regard_to_case_and_blanks_around_are_dropped(
    name: bytes, value: bytes
) -> None:
    assert (0, b"a.b.c") == find_credential([(name, value)])


@pytest.mark.parametrize("name", [A, S])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.EMPTY_CREDENTIAL),
        (b" ", Reason.EMPTY_CREDENTIAL),
        (b"\t \t", Reason.EMPTY_CREDENTIAL),
        (b"Bearer", Reason.EMPTY_CREDENTIAL),
        (b"bearer", Reason.EMPTY_CREDENTIAL),
        (b"Bearer ", Reason.EMPTY_CREDENTIAL),
        (b"Bearer    \t", Reason.EMPTY_CREDENTIAL),
        (b"  Bearer  ", Reason.EMPTY_CREDENTIAL),
        (b"Basic eDp5", Reason.UNSUPPORTED_SCHEME),
        (b"Digest username=x", Reason.UNSUPPORTED_SCHEME),
        (b"a.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"Bearera.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"Bearer:a.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"Bearer\ta.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"Bearer\xa0a.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"Bearer,a.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"=Bearer a.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"\xef\xbb\xbfBearer a.b.c", Reason.UNSUPPORTED_SCHEME),
        (b"Bearer a.b.c d.e.f", Reason.MULTIPLE_CREDENTIALS),
        (b"Bearer a.b.c,d.e.f", Reason.MULTIPLE_CREDENTIALS),
        (b"Bearer a.b.c, Bearer d.e.f", Reason.MULTIPLE_CREDENTIALS),
        (b"Bearer a.b.c,", Reason.MULTIPLE_CREDENTIALS),
        (b"Bearer ,a.b.c", Reason.MULTIPLE_CREDENTIALS),
        (b"Bearer a.b.c\td.e.f", Reason.MULTIPLE_CREDENTIALS),
        (b"Bearer Bearer a.b.c", Reason.MULTIPLE_CREDENTIALS),
        (b"Bearer ya29.a0AfB", Reason.ACCESS_TOKEN),
        (b"bearer  ya29.c.b0AXv ", Reason.ACCESS_TOKEN),
    ],
    ids=repr,
)
def test_what_is_not_one_bearer_token_is_refused_with_the_reason(
    name: bytes, value: bytes, reason: Reason
) -> None:
    assert reason == refused((name, value))


def test_an_access_token_is_told_how_to_get_an_id_token() -> None:
    with pytest.raises(CredentialError, match="print-identity-token"):
        explained(find_credential([(A, b"Bearer ya29.a0AfB")]))


def test_bytes_that_are_not_ascii_are_left_to_the_verifier() -> None:
    assert (0, b"\xff.\x00.\xe9") == find_credential([(A, b"Bearer \xff.\x00.\xe9")])


names = st.sampled_from([A, S, b"host", b"x", b""])
values = st.binary(max_size=20) | st.sampled_from([b"Bearer ", b"bearer x", b"Basic y"]).flatmap(
    lambda start: st.binary(max_size=8).map(start.__add__)
)


@given(st.lists(st.tuples(names, values), max_size=6))
@settings(deadline=None, max_examples=400)
def test_of_any_headers_one_credential_is_found_or_none_or_a_refusal(
    headers: list[tuple[bytes, bytes]],
) -> None:
    wanted = S if any(name == S for name, _ in headers) else A
    holders = [index for index, (name, _) in enumerate(headers) if name == wanted]
    try:
        credential = explained(find_credential(headers))
    except CredentialError as error:
        assert holders
        assert (len(holders) > 1) == (error.reason is Reason.MULTIPLE_HEADERS)  # noqa: PT017 - one of three outcomes
        return

    if credential is None:
        assert [] == holders
    else:
        position, token = credential
        assert [position] == holders
        assert token in headers[position][1]
        assert token
        assert not {b" "[0], b","[0], b"\t"[0]} & set(token)


# Behind Identity-Aware Proxy.


def refused_assertion(*headers: tuple[bytes, bytes]) -> Reason:
    with pytest.raises(CredentialError) as caught:
        explained(find_iap_assertion(headers))
    return caught.value.reason


@pytest.mark.parametrize("value", [b"a.b.c", b" a.b.c", b"a.b.c\t"], ids=repr)
def test_the_assertion_of_the_proxy_is_a_bare_token(value: bytes) -> None:
    headers = [(A, b"Bearer own.own.own"), (I, value), (S, b"Bearer platform")]

    assert (1, b"a.b.c") == find_iap_assertion(headers)


@pytest.mark.parametrize(
    "headers",
    [[], [(A, b"Bearer a.b.c")], [(S, b"Bearer a.b.c"), (A, b"Bearer a.b.c")], [(b"x-goog-iap", b"a.b.c")]],
)
def test_what_did_not_come_through_the_proxy_carries_no_assertion(headers: list[tuple[bytes, bytes]]) -> None:
    assert find_iap_assertion(headers) is None


def test_without_the_proxy_its_header_is_no_credential() -> None:
    assert find_credential([(I, b"a.b.c")]) is None


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(I, b"a.b.c"), (I, b"a.b.c")], Reason.MULTIPLE_HEADERS),
        ([(I, b"a.b.c"), (A, b"Bearer a.b.c"), (I, b"")], Reason.MULTIPLE_HEADERS),
        ([(I, b"")], Reason.EMPTY_CREDENTIAL),
        ([(I, b" \t")], Reason.EMPTY_CREDENTIAL),
        ([(I, b"Bearer a.b.c")], Reason.UNSUPPORTED_SCHEME),
        ([(I, b"bearer\ta.b.c")], Reason.UNSUPPORTED_SCHEME),
        ([(I, b"Bearer")], Reason.UNSUPPORTED_SCHEME),
        ([(I, b"a.b.c,d.e.f")], Reason.MULTIPLE_CREDENTIALS),
        ([(I, b"a.b.c, d.e.f")], Reason.MULTIPLE_CREDENTIALS),
        ([(I, b"Basic a.b.c")], Reason.MULTIPLE_CREDENTIALS),
        ([(I, b"ya29.a0AfB")], Reason.ACCESS_TOKEN),
    ],
    ids=repr,
)
def test_what_is_not_one_assertion_is_refused(headers: list[tuple[bytes, bytes]], reason: Reason) -> None:
    assert reason == refused_assertion(*headers)


@pytest.mark.parametrize("blank", [b" ", b",", b"\t"], ids=repr)
@pytest.mark.parametrize("place", [0, 5, 60, 300, -5, 10_000])
def test_no_verifier_takes_what_is_not_one_token(world: World, blank: bytes, place: int) -> None:
    """Which is why nobody looks for it before the token is refused."""
    verifier = world.verifier()
    good = world.token().encode()
    verifier.verify(good)

    with pytest.raises(TokenError):
        verifier.verify(good[:place] + blank + good[place:])


# One place for a header that decides.


def test_a_deciding_header_is_added_in_one_place_and_found_forwarded_and_watched(world: World) -> None:
    find = CredentialHeaders(b"x-edge-authorization", SERVERLESS_AUTHORIZATION, AUTHORIZATION)
    door = Door(world.verifier(), InvokerPolicy.all_authenticated_users(), credential=find)
    good, removed = b"Bearer " + world.token().encode(), b".SIGNATURE_REMOVED_BY_GOOGLE"
    headers = [(AUTHORIZATION, b"Basic own"), (b"x-edge-authorization", good)]

    for _ in range(2):  # the second time from the token cache
        admission = door.admit(headers)
        assert isinstance(admission, Admission)
        assert MEMBER == admission.principal.member
        assert (AUTHORIZATION, b"Basic own") == admission.headers[0]
        assert admission.headers[1][1] == good.rpartition(b".")[0] + removed
    cached = door.admit_cached([(b"x-edge-authorization", good)], "GET", "/")
    assert cached is not None
    assert cached.headers == [(b"x-edge-authorization", good.rpartition(b".")[0] + removed)]
    assert door.admit_cached(headers, "GET", "/") is None
    doubled = door.admit([(b"x-edge-authorization", good)] * 2)
    assert isinstance(doubled, Refusal)
    assert Reason.MULTIPLE_HEADERS == doubled.reason
    # Where another one decides, a value in it that looks checked does not pass.
    forged = door.admit(
        [(b"x-edge-authorization", good), (SERVERLESS_AUTHORIZATION, b"Bearer h.p" + removed)]
    )
    assert isinstance(forged, Admission)
    assert [b"x-edge-authorization"] == [name for name, _ in forged.headers]
