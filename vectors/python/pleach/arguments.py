"""Arguments of operations (protocol.md, Arguments of operations): text of the command line to bytes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Sequence

from . import codec
from .codec import Refused

ARGUMENTS_MAX = 64
DEPTH_MAX = 16
BYTES_MAX = 262_144
TOKEN = re.compile(r"[A-Za-z0-9_]+|[:,<>(){}]")
NUMBERS = {f"{sign}{bits}": (sign == "i", bits) for sign in "ui" for bits in (8, 16, 32, 64, 128)}
SIMPLE = ("str", "bytes", "bool", "key", *NUMBERS)


def refused(detail: str) -> Refused:
    return Refused("refused", detail)


@dataclass(frozen=True)
class Type:
    name: str
    of: tuple["Type", ...] = ()
    fields: tuple[str, ...] = ()


class Tokens:
    """The words and signs of a description. White space stands between any two of them."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            found = TOKEN.match(text, at)
            if found is None:
                raise refused(f"{text[at]!r} in a description")
            self.tokens.append(found.group())
            at = found.end()

    def next(self) -> str:
        if not self.tokens:
            raise refused("a description ends early")
        return self.tokens.pop(0)

    def expect(self, sign: str) -> None:
        if self.next() != sign:
            raise refused(f"no {sign!r}")

    def name(self) -> str:
        name = self.next()
        if re.fullmatch("[A-Za-z0-9_]+", name) is None:
            raise refused(f"{name!r} is no name")
        return name

    def type(self, depth: int = 1) -> Type:
        if depth > DEPTH_MAX:
            raise refused("too deep")
        name = self.next()
        if name in SIMPLE:
            return Type(name)
        if name in ("option", "list"):
            self.expect("<")
            inner = self.type(depth + 1)
            self.expect(">")
            return Type(name, (inner,))
        if name == "(":
            of = [self.type(depth + 1)]
            while len(of) < 2 or self.tokens[:1] != [")"]:
                self.expect(",")
                of.append(self.type(depth + 1))
            self.expect(")")
            if len(of) > ARGUMENTS_MAX:
                raise refused("too many parts")
            return Type("tuple", tuple(of))
        if name == "{":
            named = self.named(depth + 1, "}")
            self.expect("}")
            if not named:
                raise refused("a record without fields")
            return Type("record", tuple(kind for _, kind in named), tuple(name for name, _ in named))
        raise refused(f"{name!r} is no type")

    def named(self, depth: int, end: str) -> list[tuple[str, Type]]:
        """Names with types, up to a sign or the end of the text."""
        named: list[tuple[str, Type]] = []
        while self.tokens and self.tokens[0] != end:
            if named:
                self.expect(",")
            name = self.name()
            self.expect(":")
            named.append((name, self.type(depth)))
        if len({name for name, _ in named}) != len(named) or len(named) > ARGUMENTS_MAX:
            raise refused("a name twice, or too many")
        return named


def describe(text: str) -> list[tuple[str, Type]]:
    return Tokens(text).named(1, "")


def encode_words(arguments: Sequence[tuple[str, Type]], words: Sequence[str]) -> bytes:
    places = {name: place for place, (name, _) in enumerate(arguments)}
    given: dict[int, str] = {}
    by_name = False
    for position, word in enumerate(words):
        name, sign, value = word.partition("=")
        if sign and name in places:
            by_name, place = True, places[name]
        elif by_name:
            raise refused(f"{word!r} behind one by name")
        else:
            place, value = position, word
        if place in given or place >= len(arguments):
            raise refused(f"{word!r} is too many")
        given[place] = value
    if len(given) != len(arguments):
        raise refused("an argument is missing")
    encoded = b"".join(word_of(kind, given[place]) for place, (_, kind) in enumerate(arguments))
    if len(encoded) > BYTES_MAX:
        raise refused("too long")
    return encoded


def word_of(kind: Type, word: str) -> bytes:
    """A word of the command line."""
    if kind.name in SIMPLE:
        return text_of(kind, word)
    if kind.name == "option":
        return b"\x00" if word == "none" else b"\x01" + word_of(kind.of[0], word)
    try:
        value = json.loads(word)
    except ValueError as error:
        raise refused("no JSON") from error
    return json_of(kind, value)


def text_of(kind: Type, text: str) -> bytes:
    if kind.name == "str":
        return codec.byte_string(text.encode("utf-8"))
    if kind.name == "bytes":
        return codec.byte_string(hex_of(text[2:]) if text.startswith("0x") else text.encode("utf-8"))
    if kind.name in NUMBERS:
        signed, bits = NUMBERS[kind.name]
        if re.fullmatch("-?[0-9]+" if signed else "[0-9]+", text) is None:
            raise refused(f"{text!r} is no {kind.name}")
        try:
            return int(text).to_bytes(bits // 8, "little", signed=signed)
        except OverflowError as error:
            raise refused(f"{text!r} is no {kind.name}") from error
    if kind.name == "bool":
        if text not in ("true", "false"):
            raise refused(f"{text!r} is no bool")
        return codec.u8(int(text == "true"))
    if len(text) != 64:
        raise refused(f"{text!r} is no key")
    return hex_of(text)


def hex_of(digits: str) -> bytes:
    if re.fullmatch("(?:[0-9a-fA-F]{2})*", digits) is None:
        raise refused(f"{digits!r} is not hexadecimal")
    return bytes.fromhex(digits)


def json_of(kind: Type, value: Any) -> bytes:
    """A value within lists, tuples and records."""
    if kind.name == "option":
        return b"\x00" if value is None else b"\x01" + json_of(kind.of[0], value)
    if kind.name == "list":
        if not isinstance(value, list):
            raise refused("no list")
        return codec.sequence([json_of(kind.of[0], item) for item in value])
    if kind.name == "tuple":
        if not isinstance(value, list) or len(value) != len(kind.of):
            raise refused("no such tuple")
        return b"".join(json_of(of, item) for of, item in zip(kind.of, value))
    if kind.name == "record":
        if not isinstance(value, dict) or set(value) != set(kind.fields):
            raise refused("no such record")
        return b"".join(json_of(of, value[name]) for of, name in zip(kind.of, kind.fields))
    if isinstance(value, bool):
        value = str(value).lower() if kind.name == "bool" else None
    elif isinstance(value, int):
        value = str(value) if kind.name in NUMBERS and -(1 << 63) <= value < 1 << 64 else None
    if not isinstance(value, str):
        raise refused(f"{value!r} is no {kind.name}")
    return text_of(kind, value)
