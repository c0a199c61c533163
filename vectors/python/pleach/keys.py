"""Keys of records (protocol.md, Keys of records)."""

from __future__ import annotations

from .codec import KEY_BYTES_MAX, Reader, Refused
from .hashes import plain_hash

CLUSTER = ".cluster"
ROOT_RULE = ".root_rule"

# Rule 2: the first and the last character of each range that no key holds.
FORBIDDEN_RANGES = (
    (0x0000, 0x001F), (0x007F, 0x009F), (0x00A0, 0x00A0), (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C),
    (0x115F, 0x1160), (0x1680, 0x1680), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x206F), (0x2800, 0x2800), (0x3000, 0x3000), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip


def is_forbidden(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in FORBIDDEN_RANGES)


def check_key(data: bytes) -> str:
    """The key that these bytes are, by the three rules in their order."""
    if not data:
        raise Refused("key", "empty")
    if len(data) > KEY_BYTES_MAX:
        raise Refused("key", "too long")
    try:
        key = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise Refused("key", "not UTF-8") from error
    if any(is_forbidden(character) for character in key):
        raise Refused("key", "forbidden character")
    for part in key.split("/"):
        if part == "":
            raise Refused("key", "empty part")
        if part in (".", ".."):
            raise Refused("key", f"part {part}")
    return key


def read_key(reader: Reader) -> str:
    """A `text` that names a record.

    The page does not say whether a decoder holds it against the rules of keys. This one does: no record has another.
    """
    return check_key(reader.byte_string(KEY_BYTES_MAX))


def path_of_key(key: str) -> bytes:
    return plain_hash(key.encode("utf-8"))


def domain(key: str) -> str:
    """What stands up to the last `/`, that included."""
    return key[: key.rfind("/") + 1]


def is_system_record(key: str) -> bool:
    return key.startswith(".")


def may_write(operation: str, record: str) -> bool:
    if is_system_record(operation) and operation != ROOT_RULE:
        return False
    return not is_system_record(record) and record.startswith(domain(operation))
