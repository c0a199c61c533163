"""Blocks, headers and results (protocol.md, Blocks and results)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from . import codec, hashes
from .codec import Reader, malformed
from .hashes import ZEROS

RESULT_BYTES = 232
HEADER_BYTES = 360
BLOCK_BYTES_MAX = 8_388_608
BLOCK_REQUESTS_MAX = 4_096
BLOCK_REQUEST_BYTES_MAX = 3_145_728


@dataclass(frozen=True)
class Result:
    height: int
    root: bytes
    receipts: bytes
    written: bytes
    code: bytes
    history: bytes
    members: bytes
    next: bytes

    def encode(self) -> bytes:
        digests = (self.root, self.receipts, self.written, self.code, self.history, self.members, self.next)
        return codec.u64(self.height) + b"".join(codec.fixed(digest, 32) for digest in digests)


def read_result(reader: Reader) -> Result:
    return Result(
        height=reader.u64(),
        root=reader.hash(),
        receipts=reader.hash(),
        written=reader.hash(),
        code=reader.hash(),
        history=reader.hash(),
        members=reader.hash(),
        next=reader.hash(),
    )


def decode_result(data: bytes) -> Result:
    return codec.decode_whole(data, read_result, RESULT_BYTES)


@dataclass(frozen=True)
class Context:
    epoch: int
    view: int
    parent_view: int
    leader: bytes
    parent: bytes

    def encode(self) -> bytes:
        return (
            codec.u64(self.epoch)
            + codec.u64(self.view)
            + codec.u64(self.parent_view)
            + codec.fixed(self.leader, 32)
            + codec.fixed(self.parent, 32)
        )


@dataclass(frozen=True)
class Header:
    context: Context
    height: int
    body: bytes
    result: Result

    def encode(self) -> bytes:
        return self.context.encode() + codec.u64(self.height) + codec.fixed(self.body, 32) + self.result.encode()

    def digest(self) -> bytes:
        """The block's digest."""
        return hashes.hash(hashes.BLOCK_HEADER, self.encode())

    def is_empty(self) -> bool:
        """Whether the block has no requests."""
        return self.body == body_digest([])


def read_header(reader: Reader) -> Header:
    context = Context(reader.u64(), reader.u64(), reader.u64(), reader.hash(), reader.hash())
    return Header(context, reader.u64(), reader.hash(), read_result(reader))


def decode_header(data: bytes) -> Header:
    return codec.decode_whole(data, read_header, HEADER_BYTES)


def ordered_digest(request: bytes) -> bytes:
    return hashes.hash(hashes.ORDERED, request)


def body_digest(requests: Sequence[bytes]) -> bytes:
    """A list of hash with its count."""
    return hashes.hash(hashes.BLOCK_BODY, codec.sequence([ordered_digest(request) for request in requests]))


@dataclass(frozen=True)
class Block:
    header: Header
    requests: tuple[bytes, ...]

    def encode(self) -> bytes:
        return self.header.encode() + codec.sequence([codec.byte_string(request) for request in self.requests])


def decode_block(data: bytes) -> Block:
    def read(reader: Reader) -> Block:
        header = read_header(reader)
        requests = reader.sequence(BLOCK_REQUESTS_MAX, lambda: reader.byte_string(BLOCK_REQUEST_BYTES_MAX))
        return Block(header, tuple(requests))

    block = codec.decode_whole(data, read, BLOCK_BYTES_MAX)
    if body_digest(block.requests) != block.header.body:
        raise malformed("the header names another body")
    return block


def written_digest(paths: Sequence[bytes]) -> bytes:
    """protocol.md, Hashes: ascending, without a count."""
    if not codec.ascends_strictly(paths):
        raise ValueError("paths do not ascend strictly")
    return hashes.hash(hashes.WRITTEN, b"".join(paths))


def code_digest(code: Sequence[tuple[bytes, int]]) -> bytes:
    """protocol.md, Hashes: (digest, bytes) of each code, ascending by digest, without a count."""
    if not codec.ascends_strictly([digest for digest, _ in code]):
        raise ValueError("code does not ascend strictly")
    return hashes.hash(hashes.CODE, b"".join(digest + codec.u32(size) for digest, size in code))


def result_of_height_0(root: bytes, members_digest: bytes) -> Result:
    """protocol.md, Height 0."""
    return Result(0, root, ZEROS, written_digest([]), code_digest([]), ZEROS, members_digest, members_digest)


def block_of_height_0(genesis_digest: bytes) -> Block:
    """protocol.md, Height 0: its result field is zeros."""
    no_result = codec.decode_whole(bytes(RESULT_BYTES), read_result)
    context = Context(0, 0, 0, ZEROS, genesis_digest)
    return Block(Header(context, 0, body_digest([]), no_result), ())
