"""Byte strings of structures (protocol.md, Encoding)."""

from __future__ import annotations

from typing import Callable, Optional, Sequence, TypeVar

Item = TypeVar("Item")

# protocol.md, Encoding: the table of limits. Those that belong to one structure stand in its module.
KEY_BYTES_MAX = 512
VALUE_BYTES_MAX = 1_048_576
CODE_BYTES_MAX = 2_097_152


class Refused(Exception):
    """An input that is refused. `reason` is the name that the test vectors use, `detail` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def malformed(detail: str) -> Refused:
    """The refusal of bytes that are no encoding of what they should be."""
    return Refused("encoding", detail)


class Reader:
    """Reads fields one after the other. Every length and count is held against a limit and what is left."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        """`n bytes`, `hash`, `key`: as they are."""
        if count > self.left():
            raise malformed(f"ends early: {count} bytes wanted at {self.at}, {self.left()} left")
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken

    def hash(self) -> bytes:
        return self.take(32)

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def u8(self) -> int:
        return self.unsigned(1)

    def u16(self) -> int:
        return self.unsigned(2)

    def u32(self) -> int:
        return self.unsigned(4)

    def u64(self) -> int:
        return self.unsigned(8)

    def count(self, limit: int) -> int:
        """The length of `bytes` and `text`, the count of a list."""
        count = self.u32()
        if count > limit:
            raise malformed(f"{count} are more than {limit}")
        return count

    def byte_string(self, limit: int) -> bytes:
        return self.take(self.count(limit))

    def text(self, limit: int) -> str:
        try:
            # Python's strict decoder refuses surrogates and overlong forms.
            return self.byte_string(limit).decode("utf-8", "strict")
        except UnicodeDecodeError as error:
            raise malformed("text is not UTF-8") from error

    def sequence(self, limit: int, item: Callable[[], Item]) -> list[Item]:
        return [item() for _ in range(self.count(limit))]

    def option(self, value: Callable[[], Item]) -> Optional[Item]:
        present = self.u8()
        if present > 1:
            raise malformed(f"{present} before an option")
        return value() if present == 1 else None

    def end(self) -> None:
        if self.left() != 0:
            raise malformed(f"{self.left()} bytes left over")


def decode_whole(data: bytes, read: Callable[[Reader], Item], limit: Optional[int] = None) -> Item:
    """Reads one value that must use every byte of `data`."""
    if limit is not None and len(data) > limit:
        raise malformed(f"{len(data)} bytes are more than {limit}")
    reader = Reader(data)
    value = read(reader)
    reader.end()
    return value


def ascends_strictly(items: Sequence[bytes]) -> bool:
    """protocol.md, Encoding: `set of X`. Python compares bytes as unsigned, one by one."""
    return all(left < right for left, right in zip(items, items[1:]))


def u8(number: int) -> bytes:
    return number.to_bytes(1, "little")


def u16(number: int) -> bytes:
    return number.to_bytes(2, "little")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def fixed(value: bytes, size: int) -> bytes:
    """`hash`, `key`, `n bytes`: as they are, but of that size."""
    if len(value) != size:
        raise ValueError(f"{len(value)} bytes where {size} belong")
    return value


def byte_string(value: bytes) -> bytes:
    return u32(len(value)) + value


def text(value: str) -> bytes:
    return byte_string(value.encode("utf-8"))


def sequence(items: Sequence[bytes]) -> bytes:
    """A list whose items are encoded already."""
    return u32(len(items)) + b"".join(items)


def option(encoded: Optional[bytes]) -> bytes:
    return b"\x00" if encoded is None else b"\x01" + encoded
