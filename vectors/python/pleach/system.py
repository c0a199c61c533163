"""Requests of the system: encoding, identity, what is signed, and what makes them unacceptable (protocol.md, Requests of
the system)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional, Union

from . import codec, evidence, hashes, members, signatures
from .blocks import Result, read_result
from .codec import Reader, Refused, malformed
from .genesis import Genesis, read_terms
from .members import Member
from .requests import SYSTEM_KIND

SYSTEM_BYTES_MAX = 16_384
OWNERS_MAX = 16
SIBLINGS_MAX = 64

COMPLAIN, CHANGE, READY = 0, 1, 2
ADD, REMOVE, SET, OWNERS, CHECKPOINT, PARDON, ROTATE, TERMS = range(8)


@dataclass(frozen=True)
class Path:
    base: int
    proven: Result
    siblings: tuple[bytes, ...]

    def encode(self) -> bytes:
        return codec.u64(self.base) + self.proven.encode() + codec.sequence(self.siblings)


@dataclass(frozen=True)
class Complaint:
    evidence: evidence.Evidence
    path: Optional[Path]

    def encode(self, whole: bool) -> bytes:
        encoded = codec.byte_string(self.evidence.encode())
        path = None if self.path is None else self.path.encode()
        return encoded + codec.option(path) if whole else encoded


@dataclass(frozen=True)
class Rotation:
    old: bytes
    new: bytes
    by_old: bytes
    by_new: bytes

    def encode(self, whole: bool) -> bytes:
        signed = self.by_old + self.by_new if whole else b""
        return codec.u8(ROTATE) + self.old + self.new + signed


@dataclass(frozen=True)
class OtherChange:
    """A change of the owners; its fields are kept as they are encoded."""

    number: int
    fields: bytes

    def encode(self, whole: bool) -> bytes:
        return codec.u8(self.number) + self.fields


@dataclass(frozen=True)
class Change:
    seq: int
    until: int
    change: Union[Rotation, OtherChange]
    signatures: tuple[tuple[int, bytes], ...]

    def encode(self, whole: bool) -> bytes:
        signed = [codec.u8(owner) + (signature if whole else b"") for owner, signature in self.signatures]
        return codec.u64(self.seq) + codec.u64(self.until) + self.change.encode(whole) + codec.sequence(signed)

    def message(self, genesis: bytes) -> bytes:
        """What each owner signs."""
        said = genesis + codec.u64(self.seq) + codec.u64(self.until) + self.change.encode(True)
        return hashes.tag(hashes.OWNER_SIGN) + hashes.hash(hashes.OWNER_SIGN, said)


@dataclass(frozen=True)
class Ready:
    key: bytes
    height: int
    root: bytes
    signature: bytes

    def encode(self, whole: bool) -> bytes:
        return self.key + codec.u64(self.height) + self.root + (self.signature if whole else b"")


@dataclass(frozen=True)
class SystemRequest:
    genesis: bytes
    action: Union[Complaint, Change, Ready]

    def put(self, whole: bool) -> bytes:
        number = {Complaint: COMPLAIN, Change: CHANGE, Ready: READY}[type(self.action)]
        return codec.u8(SYSTEM_KIND) + codec.u8(number) + self.genesis + self.action.encode(whole)

    def encode(self) -> bytes:
        return self.put(True)

    def identity(self) -> bytes:
        return hashes.hash(hashes.SYSTEM, self.put(False))

    def signed_by_members(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Key, message and signature of each that the request names itself."""
        message = hashes.tag(hashes.MEMBER_SIGN) + self.identity()
        if isinstance(self.action, Ready):
            yield self.action.key, message, self.action.signature
        elif isinstance(self.action, Change) and isinstance(self.action.change, Rotation):
            rotation = self.action.change
            yield rotation.old, message, rotation.by_old
            yield rotation.new, message, rotation.by_new

    def signature_count(self) -> int:
        if isinstance(self.action, Complaint):
            one = isinstance(self.action.evidence.case, (evidence.WrongResult, evidence.SignedReply))
            return 1 if one else 2
        if isinstance(self.action, Change) and isinstance(self.action.change, OtherChange):
            return len(self.action.signatures)
        return sum(1 for _ in self.signed_by_members())

    def weight(self) -> int:
        proof = 0
        if isinstance(self.action, Complaint) and isinstance(self.action.evidence.case, evidence.SignedReply):
            proof = 150 * 1_024 + 1_500 * len(self.action.evidence.case.keys)
        return 10_000 + 3 * len(self.encode()) + 75_000 * self.signature_count() + proof


def read_path(reader: Reader) -> Path:
    return Path(reader.u64(), read_result(reader), tuple(reader.sequence(SIBLINGS_MAX, reader.hash)))


def read_complaint(reader: Reader, genesis: bytes) -> Complaint:
    found = evidence.decode_evidence(reader.byte_string(evidence.EVIDENCE_BYTES_MAX))
    if found.genesis != genesis:
        raise malformed("evidence of another cluster than the complaint")
    path = reader.option(lambda: read_path(reader))
    if path is not None:
        if not isinstance(found.case, evidence.WrongResult):
            raise malformed("a path for evidence that needs no result")
        height = found.case.signed.result.height
        if path.proven.height != height or height >= path.base:
            raise malformed("a path of another height, or from below")
    return Complaint(found, path)


def check_new_member(member: Member) -> None:
    if member.id != member.key or member.previous is not None:
        raise malformed("a new member begins with its first key")
    try:
        members.check_members([member])
    except Refused as refused:
        raise malformed(str(refused)) from refused


def read_fields(reader: Reader, number: int) -> None:
    """The fields of a change of the owners, with the rules that need no state."""
    if number == ADD:
        check_new_member(members.read_member(reader))
    elif number in (REMOVE, PARDON):
        reader.hash()
    elif number == SET:
        reader.hash()
        reader.u32()
        reader.text(members.ADDRESS_BYTES_MAX)
    elif number == OWNERS:
        owners = reader.sequence(OWNERS_MAX, reader.hash)
        if not codec.ascends_strictly(owners):
            raise malformed("owners do not ascend strictly")
        if not all(map(signatures.is_sound, owners)):
            raise malformed("the key of an owner is not sound")
        if not 1 <= reader.u8() <= len(owners):
            raise malformed("threshold")
    elif number == CHECKPOINT:
        reader.u64()
        reader.hash()
    elif number == TERMS:
        read_terms(reader)
    else:
        raise malformed(f"unknown change {number}")


def read_change(reader: Reader) -> Change:
    seq, until, number = reader.u64(), reader.u64(), reader.u8()
    change: Union[Rotation, OtherChange]
    if number == ROTATE:
        change = Rotation(reader.hash(), reader.hash(), reader.take(64), reader.take(64))
    else:
        begin = reader.at
        read_fields(reader, number)
        change = OtherChange(number, reader.data[begin : reader.at])
    signed = tuple(reader.sequence(OWNERS_MAX, lambda: (reader.u8(), reader.take(64))))
    owners = [owner for owner, _ in signed]
    if not all(left < right for left, right in zip(owners, owners[1:])):
        raise malformed("owners' signatures do not ascend strictly")
    if isinstance(change, Rotation):
        if seq != 0 or signed:
            raise malformed("a rotation is no change of the owners")
        if change.old == change.new:
            raise malformed("the new key is the old one")
        if not signatures.is_sound(change.new):
            raise malformed("the new key is not sound")
    return Change(seq, until, change, signed)


def decode_system_request(data: bytes) -> SystemRequest:
    def read(reader: Reader) -> SystemRequest:
        if reader.u8() != SYSTEM_KIND:
            raise malformed("not a request of the system")
        number, genesis = reader.u8(), reader.hash()
        if number == COMPLAIN:
            return SystemRequest(genesis, read_complaint(reader, genesis))
        if number == CHANGE:
            return SystemRequest(genesis, read_change(reader))
        if number == READY:
            return SystemRequest(genesis, Ready(reader.hash(), reader.u64(), reader.hash(), reader.take(64)))
        raise malformed(f"unknown action {number}")

    return codec.decode_whole(data, read, SYSTEM_BYTES_MAX)


def check_evidence(found: evidence.Evidence, genesis: bytes) -> None:
    """As far as bytes go: of a wrong result, that the accused signed it."""
    if isinstance(found.case, evidence.WrongResult):
        if not found.case.signed.is_signed_by(found.accused, genesis):
            raise Refused("NOT_PROVEN", "BAD_SIGNATURE")
        return
    try:
        evidence.judge(found, genesis, None)
    except Refused as refused:
        raise Refused("NOT_PROVEN", refused.reason) from refused


def check_system_request(data: bytes, trusted: Genesis) -> SystemRequest:
    """Unacceptable: all checks in their order."""
    if len(data) > trusted.limits.request_bytes or len(data) > SYSTEM_BYTES_MAX:
        raise Refused("OVER_LIMIT")
    try:
        request = decode_system_request(data)
    except Refused as refused:
        raise Refused("MALFORMED", str(refused)) from refused
    digest = trusted.digest()
    if request.genesis != digest:
        raise Refused("WRONG_GENESIS")
    if isinstance(request.action, Complaint):
        check_evidence(request.action.evidence, digest)
    for key, message, signature in request.signed_by_members():
        if not signatures.holds(key, message, signature):
            raise Refused("BAD_SIGNATURE")
    return request
