"""The parsers of the house on inputs of growing size, in the process whose instructions are counted.

Each input is a unit that is repeated, between a beginning and an end. The units are the words that mean
something to the parser, and pairs of the first of them: a search over the forms in which work can pile up.
Nothing here reads the time; callgrind starts a new count at each mark.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from doorward import DoorwardError, InvokerPolicy
from doorward.base64url import decode
from doorward.door.credentials import find_credential
from doorward.keys.formats.keyset import parse_key_set
from doorward.keys.http.freshness import freshness_of
from doorward.policy.conditions.condition import compile_condition
from doorward.policy.membership.members import read_member
from doorward.policy.paths import readings_of
from doorward.policy.request import host_name
from doorward.policy.roles import INVOKE, intended_role
from doorward.strictjson import read_brief, read_object
from doorward.tokens import jws

__all__ = ["SIZES", "Input", "inputs"]

SIZES: Final = (2_000, 4_000)
"""Characters of an input; the second is twice the first."""


class Input(NamedTuple):
    """One input: which parser reads it, and what is repeated between which ends."""

    parser: str
    begin: str
    unit: str
    end: str

    def of(self, size: int) -> str:
        return self.begin + self.unit * (size // len(self.unit)) + self.end


def _split(text: str) -> None:
    token = jws.split(text)
    jws.read_header(token.header)
    token.read_claims()


PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "strict JSON": lambda text: read_object(text.encode()),
    "brief JSON": lambda text: read_brief(text.encode(), 24),
    "base64url": lambda text: decode(text.encode()),
    "token": _split,
    "key set": lambda text: parse_key_set(text.encode(), ("RS256",), 1.0),
    "policy": InvokerPolicy.from_json,
    "policy in YAML": InvokerPolicy.from_yaml,
    "condition": compile_condition,
    "role": lambda text: intended_role(text, INVOKE),
    "member": read_member,
    "path": lambda text: readings_of("/" + text, text, ["/api"]),
    "host": lambda text: host_name(text.encode()),
    "headers": lambda text: find_credential([(b"authorization", text.encode())]),
    "cache-control": lambda text: freshness_of({"cache-control": text}, 1.0, 60.0),
}
_JSON: Final = (
    '"',
    '\\"',
    "\\",
    "[",
    "]",
    "{",
    '{"a":',
    ",",
    "1",
    "0.",
    "-",
    " ",
    "\\u0041",
    '"a":1,',
    "é",
    "e1",
)
_PATH: Final = ("/", ".", "..", "/../", "//", "%2e", "%25", "\\", ";", "/a", "/.", "%", "é")
_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "strict JSON": _JSON,
    "brief JSON": _JSON,
    "base64url": ("A", "-", "_", "=", "+"),
    "token": (".", "A", "e30", "=", "é"),
    "key set": ('{"kid":"k","kty":"RSA"},', '{"kid":"k"},', "[", '"'),
    "policy": ('{"role":"roles/run.invoker","members":["allUsers"]},', '{"role":"x"},', "[", '"'),
    "policy in YAML": (
        "[",
        "{a: ",
        "- ",
        "? ",
        '"',
        "'",
        "- x\n",
        "&a ",
        "*a ",
        "- &a x\n",
        "!a ",
        "%TAG !a! x\n",
        "[], ",
        "a: ",
        "a:\n",
        "# ",
        "\n",
        " ",
        "|\n ",
        "---\n",
        "{}, ",
    ),
    "condition": (
        "(",
        "!",
        "-",
        '"',
        "'",
        "true||",
        "[",
        "a.",
        "1+",
        "?:",
        "has(a.b)||",
        "resource.matchTag(",
    ),
    "role": ("r", "roles/", "roles/run.invoker", ".", "/"),
    "member": ("@", ":", "a", ".", "/", "user:", "deleted:", "?uid=", "principal://", "[", " "),
    "path": _PATH,
    "host": ("a", ".", ":", "[", "]", "0"),
    "headers": ("Bearer ", " ", ",", "a", "\t"),
    "cache-control": (",", '"', "\\", "max-age=1", "a", "=", " ", 'a="', "é"),
}
_ENDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "strict JSON": (
        ("", ""),
        ('{"a":', "}"),
        ('{"a":' + "[" * 65 + '"', ""),
        ('{"a":"', '"}'),
        ('{"a":[', "]}"),
    ),
    "brief JSON": (("", ""), ('{"a":', "}"), ('{"a":"', '"}')),
    "token": (("", ""), ("e30.e30.", ""), ("e30.", ".A")),
    "key set": (('{"keys":[', "{}]}"), ("", "")),
    "policy": (('{"bindings":[', "{}]}"), ("", "")),
    "policy in YAML": (("", ""), ("[" * 63 + '"', ""), ("bindings:\n- role: x\n  members: [", "]")),
    "member": (("", ""), ("user:", ""), ("principal://iam.googleapis.com/", ""), ("deleted:user:", "")),
    "headers": (("", ""), ("Bearer ", "")),
}
# How many of the words are paired, the first ones.
_PAIRED: Final = {"strict JSON": 6, "policy in YAML": 4, "path": 6, "cache-control": 4, "member": 4}


def inputs() -> Iterator[Input]:
    """Give every input: each word and each pair of the first words, between each pair of ends."""
    for parser, words in _WORDS.items():
        pairs = itertools.permutations(words[: _PAIRED[parser]], 2) if parser in _PAIRED else ()
        for unit in dict.fromkeys([*words, *map("".join, pairs)]):
            for begin, end in _ENDS.get(parser, (("", ""),)):
                yield Input(parser, begin, unit, end)


def read(parser: str, text: str) -> None:
    """Let a parser read a text, whatever comes of it."""
    try:
        PARSERS[parser](text)
    except (DoorwardError, ValueError):
        return


def main() -> None:
    """Read every input in both sizes, with a mark before (`getpriority`) and another after (`getsid`)."""
    warnings.simplefilter("ignore")
    chosen = [Input(*one) for one in json.load(sys.stdin)]
    gc.collect()
    gc.disable()
    for one in chosen:
        read(one.parser, one.of(SIZES[0]))  # what is done once, such as an import, is not counted
        for size in SIZES:
            text = one.of(size)
            os.getpriority(os.PRIO_PROCESS, 0)
            read(one.parser, text)
            os.getsid(0)


if __name__ == "__main__":
    main()
