"""Messages between members (protocol.md, Between members), as the vectors say what is in them."""

from __future__ import annotations

from typing import Any

from . import blocks, certificates, codec, history, keys, receipts
from .codec import KEY_BYTES_MAX, VALUE_BYTES_MAX, Reader, malformed

PART_BYTES_MAX = 262_144
OFFER_BYTES_MAX = 65_536
KEEPS_BYTES_MAX = 512
STEPS_MAX, STEP_BYTES_MAX = 8, 72 << 10
ITEM_BYTES_MAX = 8_388_608
CHUNK_RECORDS_MAX = 65_536
READ_KEYS_MAX = 256
REQUESTS_MAX = 4_096
WRITTEN_MAX = 4_096 * 256


def read_prefix(reader: Reader) -> dict[str, Any]:
    first, bits = reader.take(32), reader.u16()
    if bits > 256:
        raise malformed(f"a prefix of {bits} bits")
    if int.from_bytes(first, "big") & ((1 << (256 - bits)) - 1):
        raise malformed("bits behind a prefix")
    return {"first": first.hex(), "bits": bits}


def read_item(reader: Reader) -> dict[str, Any]:
    kind = reader.u8()
    if kind == 0:
        return {"kind": "entry", "height": reader.u64()}
    if kind == 1:
        return {"kind": "code", "digest": reader.hash().hex()}
    if kind == 2:
        return {"kind": "written", "group": reader.u32()}
    if kind == 3:
        return {"kind": "edge", "prefix": read_prefix(reader)}
    if kind == 4:
        return {"kind": "records", "prefix": read_prefix(reader), "start": reader.take(32).hex()}
    if kind == 5:
        return {"kind": "peaks"}
    raise malformed(f"item {kind}")


def read_found(reader: Reader) -> Any:
    kind = reader.u8()
    if kind == 0:
        value = lambda: reader.option(lambda: reader.byte_string(VALUE_BYTES_MAX).hex())
        values = reader.sequence(READ_KEYS_MAX, value)
        return {"values": values, "proof": reader.byte_string(ITEM_BYTES_MAX).hex()}
    if kind == 1:
        return "nothing"
    if kind == 2:
        return {"fits": reader.u32()}
    raise malformed(f"found {kind}")


def read_message(reader: Reader) -> dict[str, Any]:
    kind = reader.u8()
    if kind == 0:
        return {"kind": "request", "origin": reader.u64(), "request": reader.take(reader.left()).hex()}
    if kind == 1:
        return {"kind": "ask_offer", "since": reader.u64()}
    if kind == 2:
        return {"kind": "ask_part", "height": reader.u64(), "item": read_item(reader), "offset": reader.u32()}
    if kind == 3:
        steps = reader.sequence(STEPS_MAX, lambda: reader.byte_string(STEP_BYTES_MAX).hex())
        return {"kind": "offer", "steps": steps, "proof": reader.byte_string(OFFER_BYTES_MAX).hex()}
    if kind == 4:
        return {
            "kind": "part",
            "height": reader.u64(),
            "item": read_item(reader),
            "offset": reader.u32(),
            "total": reader.u32(),
            "part": reader.byte_string(PART_BYTES_MAX).hex(),
        }
    if kind == 5:
        return {"kind": "gone", "height": reader.u64(), "item": read_item(reader)}
    if kind == 6:
        kept = reader.byte_string(KEEPS_BYTES_MAX)
        return {"kind": "keeps", "prefixes": [n for n in range(8 * len(kept)) if kept[n // 8] >> n % 8 & 1]}
    if kind == 7:
        return {
            "kind": "read",
            "number": reader.u64(),
            "height": reader.u64(),
            "keys": reader.sequence(READ_KEYS_MAX, lambda: keys.read_key(reader)),
            "without_values": reader.sequence(READ_KEYS_MAX, lambda: keys.read_key(reader)),
        }
    if kind == 8:
        return {"kind": "found", "number": reader.u64(), "found": read_found(reader)}
    raise malformed(f"message {kind}")


def decode_message(data: bytes) -> dict[str, Any]:
    return codec.decode_whole(data, read_message)


def read_entry(reader: Reader) -> bytes:
    """Reads an entry of the window, and encodes it again."""
    result, header = blocks.read_result(reader), blocks.read_header(reader)
    requests = reader.u32()
    written = reader.sequence(WRITTEN_MAX, reader.hash)
    receipt_list = reader.sequence(REQUESTS_MAX, lambda: receipts.read_receipt(reader))
    code = reader.sequence(REQUESTS_MAX, lambda: reader.hash() + codec.u32(reader.u32()))
    certificate = reader.option(lambda: certificates.read_certificate(reader))
    return (
        result.encode()
        + header.encode()
        + codec.u32(requests)
        + codec.sequence(written)
        + codec.sequence([receipt.encode() for receipt in receipt_list])
        + codec.sequence(code)
        + (b"\x00" if certificate is None else b"\x01" + certificate.encode())
    )


def read_chunk(reader: Reader) -> bytes:
    """Reads a chunk of records, and encodes it again."""
    prefix = read_prefix(reader)
    proof = reader.byte_string(ITEM_BYTES_MAX)

    def record() -> bytes:
        key = reader.text(KEY_BYTES_MAX)
        return codec.text(key) + codec.byte_string(reader.byte_string(VALUE_BYTES_MAX))

    records = reader.sequence(CHUNK_RECORDS_MAX, record)
    head = bytes.fromhex(prefix["first"]) + codec.u16(prefix["bits"])
    return head + codec.byte_string(proof) + codec.sequence(records)


def decode_content(kind: str, data: bytes) -> bytes:
    """What the parts of an item make, encoded again."""
    if kind == "entry":
        return codec.decode_whole(data, read_entry)
    if kind == "chunk":
        return codec.decode_whole(data, read_chunk)
    if kind == "peaks":
        return history.decode_peaks(data).encode()
    raise malformed(f"content {kind}")
