"""What members say of themselves (protocol.md, Descriptions of members)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Mapping

from . import codec, hashes, members, signatures
from .codec import Refused

PART = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Description:
    name: str
    public_key: bytes
    capacity: int
    peer: str
    public: str
    signature: bytes

    def message(self) -> bytes:
        """What the member signs: 56 bytes."""
        fields = (
            codec.text(self.name)
            + codec.fixed(self.public_key, 32)
            + codec.u32(self.capacity)
            + codec.text(self.peer)
            + codec.text(self.public)
        )
        return hashes.tag(hashes.DESCRIBE_SIGN) + hashes.hash(hashes.DESCRIBE_SIGN, fields)

    def check(self) -> None:
        """The rules in the order of the section."""
        key = self.public_key
        members.check_members([members.Member(key, key, self.name, self.capacity, self.peer)])
        if self.capacity < 1:
            raise Refused("capacity", str(self.capacity))
        for address in (self.peer, self.public):
            if not is_address(address):
                raise Refused("address", repr(address))
        if not signatures.holds(key, self.message(), self.signature):
            raise Refused("bad_signature")


def is_address(text: str) -> bool:
    if not 1 <= len(text.encode("utf-8")) <= members.ADDRESS_BYTES_MAX:
        return False
    host, colon, port = text.rpartition(":")
    if not colon or re.fullmatch("[0-9]+", port) is None or not 1 <= int(port) <= 65_535:
        return False
    return is_host(host)


def is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        try:
            return int(ipaddress.IPv6Address(host[1:-1].partition("%")[0])) != 0
        except ValueError:
            return False
    try:
        return int(ipaddress.IPv4Address(host)) != 0
    except ValueError:
        parts = host.removesuffix(".").split(".")
        return all(PART.fullmatch(part) for part in parts) and re.fullmatch("[0-9]+", parts[-1]) is None


def description_of_document(document: Mapping[str, Any]) -> Description:
    """The same fields as in the file, here in JSON."""
    assert set(document) == {"name", "public_key", "capacity", "peer", "public", "signature"}
    return Description(
        name=document["name"],
        public_key=bytes.fromhex(document["public_key"]),
        capacity=document["capacity"],
        peer=document["peer"],
        public=document["public"],
        signature=bytes.fromhex(document["signature"]),
    )
