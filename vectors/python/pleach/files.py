"""Files of the command line (protocol.md, Files of the command line)."""

from __future__ import annotations

import re

from .codec import Refused

KEY_LINE = re.compile("pleach-secret-key-1:([0-9a-fA-F]{64})")


def key_file(seed: bytes) -> str:
    return f"pleach-secret-key-1:{seed.hex()}\n"


def seed_of_key_file(text: str) -> bytes:
    found = KEY_LINE.fullmatch(text.rstrip())
    if found is None:
        raise Refused("refused", "not the line of a key file")
    return bytes.fromhex(found.group(1))
