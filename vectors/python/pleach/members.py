"""Members and sets of them (protocol.md, Members)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from . import codec, hashes, keys, signatures
from .codec import Reader, Refused

MEMBERS_MAX = 128
NAME_BYTES_MAX = 64
ADDRESS_BYTES_MAX = 261


@dataclass(frozen=True)
class Member:
    id: bytes
    key: bytes
    name: str
    capacity: int
    address: str
    previous: Optional[bytes] = None

    def encode(self) -> bytes:
        return (
            codec.fixed(self.id, 32)
            + codec.fixed(self.key, 32)
            + codec.text(self.name)
            + codec.u32(self.capacity)
            + codec.text(self.address)
            + codec.option(self.previous)
        )


def read_member(reader: Reader, name_limit: int = NAME_BYTES_MAX, address_limit: int = ADDRESS_BYTES_MAX) -> Member:
    return Member(
        id=reader.hash(),
        key=reader.hash(),
        name=reader.text(name_limit),
        capacity=reader.u32(),
        address=reader.text(address_limit),
        previous=reader.option(reader.hash),
    )


def read_members(reader: Reader) -> list[Member]:
    return reader.sequence(MEMBERS_MAX, lambda: read_member(reader))


def encode_members(members: Sequence[Member]) -> bytes:
    return codec.sequence([member.encode() for member in members])


def ascend_by_key(members: Sequence[Member]) -> bool:
    return codec.ascends_strictly([member.key for member in members])


def is_member_name(name: str) -> bool:
    """Rule 2: a record key of one part that does not begin with `.`, of at most 64 bytes."""
    data = name.encode("utf-8")
    try:
        keys.check_key(data)
    except Refused:
        return False
    return "/" not in name and not name.startswith(".") and len(data) <= NAME_BYTES_MAX


def check_members(members: Sequence[Member]) -> None:
    """Whether a list is a set of members: the rules in their order. The page gives no names of the reasons."""
    if not 1 <= len(members) <= MEMBERS_MAX:
        raise Refused("count", f"{len(members)} members")
    if not ascend_by_key(members):
        raise Refused("order")
    names: set[str] = set()
    ids: set[bytes] = set()
    for member in members:
        if not is_member_name(member.name):
            raise Refused("name", repr(member.name))
        if member.name in names:
            raise Refused("name_twice", member.name)
        if member.id in ids:
            raise Refused("id_twice", member.id.hex())
        if len(member.address.encode("utf-8")) > ADDRESS_BYTES_MAX:
            raise Refused("address", "too long")
        for key in (member.key, member.id, member.previous):
            if key is not None and not signatures.is_sound(key):
                raise Refused("key", key.hex())
        names.add(member.name)
        ids.add(member.id)


def members_digest(members: Sequence[Member]) -> bytes:
    return hashes.hash(hashes.MEMBERS, encode_members(members))


def faults_tolerated(count: int) -> int:
    """f of the section."""
    return (count - 1) // 3


def quorum(count: int) -> int:
    return count - faults_tolerated(count)
