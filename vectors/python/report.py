"""What the checks share: fields of JSON of which none may be overlooked, comparisons, and the count of cases."""

from __future__ import annotations

import re
from typing import Any, Callable, Optional, Union

from pleach.codec import Refused

MISSING = object()


class Mismatch(Exception):
    """A case that does not agree with the code here."""


class Fields:
    """A JSON object whose members are taken one by one. `end` fails if one is left: nothing is skipped."""

    def __init__(self, entries: Any) -> None:
        if not isinstance(entries, dict):
            raise Mismatch("not an object")
        self.entries = dict(entries)

    def take(self, name: str) -> Any:
        value = self.entries.pop(name, MISSING)
        if value is MISSING:
            raise Mismatch(f"no field {name!r}")
        return value

    def has(self, name: str) -> bool:
        return name in self.entries

    def text(self, name: str) -> str:
        return as_text(self.take(name))

    def number(self, name: str) -> int:
        return as_number(self.take(name))

    def optional_number(self, name: str) -> Optional[int]:
        value = self.take(name)
        return None if value is None else as_number(value)

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise Mismatch(f"{name!r} is neither true nor false")
        return value

    def hex(self, name: str) -> bytes:
        return as_bytes(self.take(name))

    def optional_hex(self, name: str) -> Optional[bytes]:
        value = self.take(name)
        return None if value is None else as_bytes(value)

    def items(self, name: str) -> list[Any]:
        return as_list(self.take(name))

    def hex_list(self, name: str) -> list[bytes]:
        return [as_bytes(value) for value in self.items(name)]

    def text_list(self, name: str) -> list[str]:
        return [as_text(value) for value in self.items(name)]

    def object(self, name: str) -> Fields:
        return Fields(self.take(name))

    def objects(self, name: str) -> list[Fields]:
        return [Fields(value) for value in self.items(name)]

    def end(self) -> None:
        if self.entries:
            raise Mismatch(f"fields that nothing here checks: {sorted(self.entries)}")


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Mismatch(f"{value!r} is no text")
    return value


def as_number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise Mismatch(f"{value!r} is no number of 64 bits")
    return value


def as_bytes(value: Any) -> bytes:
    if not isinstance(value, str) or re.fullmatch("(?:[0-9a-f]{2})*", value) is None:
        raise Mismatch(f"{value!r} is not hexadecimal in lower case")
    return bytes.fromhex(value)


def as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Mismatch("not a list")
    return value


def shown(value: Any) -> str:
    written = value.hex() if isinstance(value, (bytes, bytearray)) else repr(value)
    return written if len(written) <= 160 else f"{written[:157]}..."


def first_difference(expected: Any, found: Any) -> str:
    """Where two byte strings part, since only their beginnings are shown."""
    if not isinstance(expected, bytes) or not isinstance(found, bytes):
        return ""
    length = min(len(expected), len(found))
    at = next((place for place in range(length) if expected[place] != found[place]), length)
    return f" (equal up to byte {at} of {len(expected)} and {len(found)})"


def same(what: str, expected: Any, found: Any) -> None:
    if expected != found or type(expected) is not type(found):
        where = first_difference(expected, found)
        raise Mismatch(f"{what}: expected {shown(expected)}, found {shown(found)}{where}")


def verdict_of(check: Callable[[], Any]) -> str:
    """`accepted`, or the name of the reason."""
    try:
        check()
    except Refused as refused:
        return refused.reason
    return "accepted"


def must_be_refused(what: str, check: Callable[[], Any]) -> None:
    if verdict_of(check) == "accepted":
        raise Mismatch(f"{what} was accepted")


class Report:
    """The cases of one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases = 0
        self.failures: list[str] = []

    def case(self, name: str, check: Callable[[], None]) -> None:
        """Counts one case and runs its check. Whatever it raises is a failure of this case alone."""
        self.cases += 1
        try:
            check()
        except Mismatch as mismatch:
            self.fail(name, str(mismatch))
        except Exception as error:  # a fault of this program must be seen as well
            self.fail(name, f"{type(error).__name__}: {error}")

    def fail(self, name: str, why: str) -> None:
        self.failures.append(f"{name}: {why}")

    def objects(self, document: Union[Fields, dict[str, Any]], name: str, check: Callable[[Fields], None]) -> None:
        """One case for each object of a list. A list that is empty or not there is a failure."""
        values = document.items(name) if isinstance(document, Fields) else as_list(document[name])
        if not values:
            self.fail(name, "no case")
        for number, value in enumerate(values):
            self.case(f"{name}[{number}]{label(value)}", lambda: check_object(value, check))

    def __str__(self) -> str:
        if not self.failures:
            return f"{self.name}: {self.cases} cases, ok"
        lines = [f"{self.name}: {self.cases} cases, {len(self.failures)} FAILED"]
        return "\n  ".join(lines + self.failures)


def label(value: Any) -> str:
    return f" ({value['name']})" if isinstance(value, dict) and "name" in value else ""


def check_object(value: Any, check: Callable[[Fields], None]) -> None:
    fields = Fields(value)
    check(fields)
    fields.end()
