"""Receipts (protocol.md, Receipts)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Union

from . import codec, keys, proofs
from .blocks import Result
from .codec import Reader, Refused, malformed
from .hashes import plain_hash

CALLS_MAX = 16
OUTPUT_BYTES_MAX = 65_536
EVENTS_MAX = 64
EVENT_BYTES_MAX = 16_384  # topic and data of all events of one call, together
MESSAGE_BYTES_MAX = 3_072

# Each refusal: its byte, its code, and the kinds of its fields in their order.
KEY, MESSAGE, U8, U32, U64 = "key", "message", "u8", "u32", "u64"
REFUSALS: dict[int, tuple[str, tuple[str, ...]]] = {
    0: ("STALE_RECORD", (KEY,)),
    1: ("OPERATION_ABSENT", (KEY,)),
    2: ("OPERATION_INVALID", (KEY,)),
    3: ("ABORTED", (U32, MESSAGE)),
    4: ("OUT_OF_GAS", (U64,)),
    5: ("STACK_OVERFLOW", ()),
    6: ("TRAP", ()),
    7: ("UNDECLARED_KEY", (KEY,)),
    8: ("BAD_KEY", ()),
    9: ("DOMAIN_VIOLATION", (KEY, KEY)),
    10: ("HOST_MISUSE", (U8,)),
    11: ("LIMIT_EXCEEDED", (U8, U64)),
    12: ("SYSTEM", (U8,)),
    13: ("NOT_APPROVED", (U8, U8)),
}
# The greatest number of those first fields that say which.
GREATEST_NUMBER = {10: 2, 11: 3, 12: 9}

Field = Union[str, int]


@dataclass(frozen=True)
class Refusal:
    byte: int
    fields: tuple[Field, ...]

    def code(self) -> str:
        return REFUSALS[self.byte][0]

    def encode(self) -> bytes:
        encoded = codec.u8(self.byte)
        for kind, value in zip(REFUSALS[self.byte][1], self.fields):
            if isinstance(value, str):
                encoded += codec.text(value)
            else:
                encoded += {U8: codec.u8, U32: codec.u32, U64: codec.u64}[kind](value)
        return encoded


def read_refusal(reader: Reader) -> Refusal:
    byte = reader.u8()
    if byte not in REFUSALS:
        raise malformed(f"unknown refusal {byte}")
    values: list[Field] = []
    for kind in REFUSALS[byte][1]:
        if kind == KEY:
            values.append(keys.read_key(reader))
        elif kind == MESSAGE:
            values.append(reader.text(MESSAGE_BYTES_MAX))
        else:
            values.append({U8: reader.u8, U32: reader.u32, U64: reader.u64}[kind]())
    if byte in GREATEST_NUMBER and int(values[0]) > GREATEST_NUMBER[byte]:
        raise malformed(f"unknown number {values[0]} in refusal {byte}")
    return Refusal(byte, tuple(values))


def decode_refusal(data: bytes) -> Refusal:
    return codec.decode_whole(data, read_refusal)


@dataclass(frozen=True)
class Event:
    topic: bytes
    data: bytes

    def encode(self) -> bytes:
        return codec.byte_string(self.topic) + codec.byte_string(self.data)


@dataclass(frozen=True)
class CallResult:
    output: bytes
    events: tuple[Event, ...]

    def encode(self) -> bytes:
        return codec.byte_string(self.output) + codec.sequence([event.encode() for event in self.events])


def read_call_result(reader: Reader) -> CallResult:
    output = reader.byte_string(OUTPUT_BYTES_MAX)
    events = []
    room = EVENT_BYTES_MAX
    for _ in range(reader.count(EVENTS_MAX)):
        event = Event(reader.byte_string(room), b"")
        room -= len(event.topic)
        event = Event(event.topic, reader.byte_string(room))
        room -= len(event.data)
        events.append(event)
    return CallResult(output, tuple(events))


@dataclass(frozen=True)
class Applied:
    calls: tuple[CallResult, ...]

    def encode(self) -> bytes:
        return codec.u8(0) + codec.sequence([call.encode() for call in self.calls])


@dataclass(frozen=True)
class NotApplied:
    """Refused: by which call, if by one, and why."""

    call: Optional[int]
    refusal: Refusal

    def encode(self) -> bytes:
        call = None if self.call is None else codec.u8(self.call)
        return codec.u8(1) + codec.option(call) + self.refusal.encode()


@dataclass(frozen=True)
class Receipt:
    identity: bytes
    height: int
    index: int
    gas: int
    verdict: Union[Applied, NotApplied]

    def encode(self) -> bytes:
        return (
            codec.fixed(self.identity, 32)
            + codec.u64(self.height)
            + codec.u32(self.index)
            + codec.u64(self.gas)
            + self.verdict.encode()
        )


def read_verdict(reader: Reader) -> Union[Applied, NotApplied]:
    kind = reader.u8()
    if kind == 0:
        return Applied(tuple(reader.sequence(CALLS_MAX, lambda: read_call_result(reader))))
    if kind == 1:
        return NotApplied(reader.option(reader.u8), read_refusal(reader))
    raise malformed(f"unknown verdict {kind}")


def read_receipt(reader: Reader) -> Receipt:
    return Receipt(reader.hash(), reader.u64(), reader.u32(), reader.u64(), read_verdict(reader))


def decode_receipt(data: bytes) -> Receipt:
    return codec.decode_whole(data, read_receipt)


def tree_of_receipts(receipts: Sequence[bytes]) -> proofs.Node:
    """The tree under `receipts` of a result: the identity is the key, the encoded receipt the value."""
    return proofs.tree([(decode_receipt(data).identity, data) for data in receipts])


def check_receipt(identity: bytes, receipt: bytes, path: bytes, result: Result) -> Receipt:
    """protocol.md, A receipt, 4 and 5: whether the receipt stands under this result.

    The page names no reasons. All but those of the proof are `other_receipt` here.
    """
    proof = proofs.verify(path, result.receipts, proofs.ANSWER_LIMITS)
    says, digest = proofs.look_up(proof, plain_hash(identity))
    if says != proofs.PRESENT or digest != plain_hash(receipt):
        raise Refused("other_receipt", f"the proof says {says}")
    decoded = decode_receipt(receipt)
    if decoded.identity != identity or decoded.height != result.height:
        raise Refused("other_receipt", "of another request or height")
    return decoded
