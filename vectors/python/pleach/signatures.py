"""Ed25519 as ZIP-215 verifies it (protocol.md, Signatures)."""

from __future__ import annotations

import hashlib
from typing import Optional

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from . import hashes

KEY_BYTES = 32
SIGNATURE_BYTES = 64

# The curve of RFC 8032: -x^2 + y^2 = 1 + d x^2 y^2 over the integers modulo P. L is the order of the base point.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQUARE_ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)

# A point (x, y) as (X, Y, Z, T) with x = X / Z, y = Y / Z and x y = T / Z.
Point = tuple[int, int, int, int]
NEUTRAL: Point = (0, 1, 1, 0)


def add(left: Point, right: Point) -> Point:
    """RFC 8032, 5.1.4. The formula is complete: it also doubles."""
    a = (left[1] - left[0]) * (right[1] - right[0]) % P
    b = (left[1] + left[0]) * (right[1] + right[0]) % P
    c = 2 * left[3] * right[3] * D % P
    d = 2 * left[2] * right[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def negate(point: Point) -> Point:
    return (P - point[0], point[1], point[2], P - point[3])


def multiply(number: int, point: Point) -> Point:
    total = NEUTRAL
    for bit in bin(number)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def is_neutral(point: Point) -> bool:
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def decode_point(data: bytes) -> Optional[Point]:
    """Step 2 of the section: y is taken modulo P, and x = 0 with the sign bit set is accepted."""
    number = int.from_bytes(data, "little")
    sign = number >> 255
    y = (number & (2**255 - 1)) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    # RFC 8032, 5.1.3: a candidate for the root of u / v.
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x + u) % P == 0:
        x = x * SQUARE_ROOT_OF_MINUS_1 % P
    if (v * x * x - u) % P != 0:
        return None
    if x & 1 != sign:
        x = -x % P
    return (x, y, 1, x * y % P)


_base = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert _base is not None
BASE: Point = _base


def is_sound(key: bytes) -> bool:
    """The end of the section: a point, and not one that the cofactor makes neutral."""
    point = decode_point(key)
    return point is not None and not is_neutral(multiply(8, point))


def holds_by_zip215(key: bytes, message: bytes, signature: bytes) -> bool:
    """The four steps of the section, in plain arithmetic."""
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    a, r = decode_point(key), decode_point(signature[:32])
    if a is None or r is None:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    difference = add(multiply(s, BASE), negate(add(r, multiply(k, a))))
    return is_neutral(multiply(8, difference))


def holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature over `message` holds.

    `cryptography` is stricter than ZIP-215 and much faster. What it accepts holds (the section: it agrees on all
    signatures of honest signers); only what it refuses is computed here.
    """
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return holds_by_zip215(key, message, signature)


def key_of_seed(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def request_message(identity: bytes) -> bytes:
    """What a signer of a request signs: 56 bytes."""
    return hashes.tag(hashes.REQUEST_SIGN) + identity


def result_message(genesis_digest: bytes, encoded_result: bytes) -> bytes:
    """What a node signs of a result: 56 bytes."""
    return hashes.tag(hashes.RESULT_SIGN) + hashes.hash(hashes.RESULT_SIGN, genesis_digest + encoded_result)
