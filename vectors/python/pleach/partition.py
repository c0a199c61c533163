"""Who keeps what (protocol.md, Who keeps what)."""

from __future__ import annotations

from fractions import Fraction
from typing import Sequence

from . import codec, hashes, keys
from .members import Member


def prefix_of_path(path: bytes, bits: int) -> int:
    """The number of a path's prefix: its first bits, the first one the highest."""
    return int.from_bytes(path, "big") >> (256 - bits)


def draw(bits: int, prefix: int, member_id: bytes) -> int:
    data = codec.u8(bits) + codec.u32(prefix) + member_id
    return int.from_bytes(hashes.hash(hashes.PARTITION_RANK, data)[:8], "little")


def cost(drawn: int) -> int:
    """-log2((draw + 1) / 2^64) in units of 2^-32, in integers."""
    number = drawn + 1
    whole = number.bit_length() - 1
    mantissa = (number << 63) >> whole
    log = whole << 32
    for bit in range(31, -1, -1):
        mantissa = (mantissa * mantissa) >> 63
        if mantissa >= 1 << 64:
            mantissa = mantissa >> 1
            log = log | (1 << bit)
    return (64 << 32) - log


def keepers(members: Sequence[Member], bits: int, prefix: int, replicas: int) -> list[int]:
    """The places of the members that keep a prefix, the first ranked first.

    `cost(a) * capacity(b) < cost(b) * capacity(a)` compares the fractions cost / capacity without dividing.
    """
    ranked = [
        (Fraction(cost(draw(bits, prefix, member.id)), member.capacity), place)
        for place, member in enumerate(members)
        if member.capacity > 0
    ]
    return [place for _, place in sorted(ranked)[:replicas]]


def keepers_of_record(members: Sequence[Member], bits: int, key: str, replicas: int) -> list[int]:
    """Every member keeps `.cluster`, whatever prefix it is in."""
    if key == keys.CLUSTER:
        return list(range(len(members)))
    return keepers(members, bits, prefix_of_path(keys.path_of_key(key), bits), replicas)
