"""Hashes with and without a tag (protocol.md, Hashes; proof-format.md, The tree)."""

from __future__ import annotations

import blake3

HASH_BYTES = 32
ZEROS = bytes(HASH_BYTES)
TAG_BYTES = 24

GENESIS = "genesis"
MEMBERS = "members"
REQUEST_BODY = "request-body"
ORDERED = "ordered"
BLOCK_BODY = "block-body"
BLOCK_HEADER = "block-header"
WRITTEN = "written"
CODE = "code"
HISTORY_LEAF = "history-leaf"
HISTORY_NODE = "history-node"
RESULT_SIGN = "result-sign"
REPLY_SIGN = "reply-sign"
NEWEST_SIGN = "newest-sign"
PARTITION_RANK = "partition-rank"
EVIDENCE = "evidence"
REQUEST_SIGN = "request-sign"
SYSTEM = "system"
OWNER_SIGN = "owner-sign"
MEMBER_SIGN = "member-sign"
DESCRIBE_SIGN = "describe-sign"


def tag(name: str) -> bytes:
    """protocol.md, Hashes: ASCII, padded with spaces to 24 bytes."""
    padded = f"pleach/1/{name}".encode("ascii").ljust(TAG_BYTES, b" ")
    assert len(padded) == TAG_BYTES
    return padded


def plain_hash(data: bytes) -> bytes:
    """BLAKE3 without a tag: paths, value digests, labels of trees, digests of code."""
    return blake3.blake3(data).digest()


def hash(name: str, data: bytes) -> bytes:
    """protocol.md, Hashes: BLAKE3 over the tag and then the bytes."""
    return plain_hash(tag(name) + data)
