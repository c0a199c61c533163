"""What the HTTP port says (protocol.md, HTTP): the names of each object, and what stands behind them."""

from __future__ import annotations

import base64
import re
from typing import Any, Callable

from . import blocks, receipts
from .codec import Refused
from .keys import check_key

Check = Callable[[Any], None]


def wrong(detail: str) -> Refused:
    return Refused("json", detail)


def number(value: Any) -> None:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise wrong(f"{value!r} is no number")


def signed_number(value: Any) -> None:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise wrong(f"{value!r} is no signed number")


def text(value: Any) -> None:
    if not isinstance(value, str):
        raise wrong(f"{value!r} is no text")


def flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise wrong(f"{value!r} is neither true nor false")


def key(value: Any) -> None:
    text(value)
    check_key(value.encode("utf-8"))


def hexadecimal(digits: int) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, str) or re.fullmatch("[0-9a-f]{%d}" % digits, value) is None:
            raise wrong(f"{value!r} is not {digits} hex digits")

    return check


def encoded(decode: Callable[[bytes], Any] = bytes) -> Check:
    def check(value: Any) -> None:
        text(value)
        data = base64.b64decode(value, validate=True)
        if base64.b64encode(data).decode() != value:
            raise wrong(f"{value!r} is not canonical base64")
        decode(data)

    return check


def one_of(*values: str) -> Check:
    def check(value: Any) -> None:
        if value not in values:
            raise wrong(f"{value!r} is none of {values}")

    return check


def nullable(inner: Check) -> Check:
    return lambda value: None if value is None else inner(value)


def list_of(inner: Check) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, list):
            raise wrong(f"{value!r} is no list")
        for item in value:
            inner(item)

    return check


def shape(**names: Check) -> Check:
    """An object: a name that ends with `_maybe` may be left out. No other names."""
    known = {name.removesuffix("_maybe"): inner for name, inner in names.items()}
    needed = {name for name in names if not name.endswith("_maybe")}

    def check(value: Any) -> None:
        if not isinstance(value, dict) or not needed <= value.keys() <= known.keys():
            raise wrong(f"{value!r} has other names than {sorted(known)}")
        for name, inner in value.items():
            known[name](inner)

    return check


def is_shown_as_text(data: bytes) -> bool:
    try:
        decoded = data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return not any(re.match("[\x00-\x08\x0b-\x1f\x7f-\x9f]", character) for character in decoded)


def value_of_record(value: Any) -> None:
    shape(text_maybe=text, base64_maybe=encoded())(value)
    if len(value) != 1:
        raise wrong(f"{value!r} is not one of both")
    data = value["text"].encode("utf-8") if "text" in value else base64.b64decode(value["base64"])
    if is_shown_as_text(data) != ("text" in value):
        raise wrong(f"{value!r} is in the other form")


HASH, SIGNATURE = hexadecimal(64), hexadecimal(128)
SIGNED = shape(result=encoded(blocks.decode_result), node=HASH, signature=SIGNATURE)
EVENT = shape(topic=value_of_record, data=value_of_record)
CALL = shape(output=value_of_record, events_maybe=list_of(EVENT))
RECEIPT = shape(
    height=number,
    index=number,
    gas=number,
    verdict=one_of("applied", "refused"),
    reason_maybe=text,
    message_maybe=text,
    call_maybe=number,
    calls_maybe=list_of(CALL),
)
RECEIPT_PROOF = shape(
    receipt=encoded(receipts.decode_receipt), path=encoded(), signed=SIGNED, certificate_maybe=encoded()
)
RECEIPT_REPLY = shape(
    identity=HASH,
    state=one_of("unknown", "pending", "executed", "certified"),
    receipt=nullable(RECEIPT),
    proof=nullable(RECEIPT_PROOF),
)
STORAGE = shape(
    record_bytes=number,
    window_bytes=number,
    journal_bytes=number,
    other_bytes=number,
    prefixes=number,
    all_prefixes=number,
    copies=number,
    least_copies=number,
    prefixes_below=number,
)
BLOCK = shape(
    height=number, digest=HASH, leader=HASH, requests=number, applied=number, refused=number, void=number, root=HASH
)

SCHEMAS: dict[str, Check] = {
    "NewestRequest": shape(nonce=hexadecimal(32)),
    "NewestReply": shape(node=HASH, newest=encoded()),
    "GetRequest": shape(
        keys=list_of(key),
        height_maybe=number,
        min_height_maybe=number,
        known_height_maybe=number,
        without_values_maybe=list_of(key),
        executed_maybe=flag,
        sign_maybe=flag,
        through_maybe=flag,
    ),
    "GetReply": shape(
        height=number,
        signed=SIGNED,
        records=list_of(shape(key=key, value=nullable(value_of_record))),
        proof=encoded(),
        certificate_maybe=encoded(),
        signature_maybe=SIGNATURE,
    ),
    "ExecuteRequest": shape(request=encoded()),
    "ExecuteReply": shape(identity=HASH, receipt_maybe=RECEIPT_REPLY),
    "ReceiptReply": RECEIPT_REPLY,
    "HistoryReply": shape(
        height=number,
        size=number,
        left_out=number,
        inclusion=list_of(HASH),
        consistency_maybe=list_of(HASH),
        certificate=encoded(),
    ),
    "AbsenceReply": shape(identity=HASH, first=number, last=number, proof=encoded()),
    "Status": shape(
        name=text,
        public_key=HASH,
        version=text,
        cluster=text,
        genesis=HASH,
        height=number,
        certified_height=number,
        certified_root=HASH,
        oldest_height=number,
        records=number,
        storage=STORAGE,
        fetching_maybe=shape(bytes=number, items_left=number),
        pending=number,
        voting=one_of("asking", "lost", "open", "forked"),
        rules_known=number,
        rules_next=number,
        ready=flag,
        forked_maybe=number,
        conditions=list_of(
            shape(name=text, severity=one_of("failing", "warning"), member_maybe=text, text=text, cure=text)
        ),
        peers=list_of(
            shape(
                name=text,
                public_key=HASH,
                address=text,
                connected=flag,
                silent_ms=number,
                trouble_maybe=text,
                clock_ahead_ms_maybe=signed_number,
            )
        ),
    ),
    "ForkReply": shape(height=number),
    "Members": shape(
        members=list_of(shape(name=text, public_key=HASH, http=nullable(text), led=number, missed=number)),
        faults_tolerated=number,
        quorum=number,
        turns=shape(epoch=number, **{"from": number}, to=number),
    ),
    "Blocks": shape(blocks=list_of(BLOCK)),
    "Block": BLOCK,
    "Problem": shape(code=text, detail=text, hint=text, retryable=flag, fits_maybe=number),
}


def check(schema: str, value: Any) -> None:
    if schema not in SCHEMAS:
        raise wrong(f"{schema} is no schema of the page")
    SCHEMAS[schema](value)
