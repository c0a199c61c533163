"""Requests: encoding, weight, what makes them unacceptable, and a block's budget (protocol.md, Requests and
How a request is decided, 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from . import codec, hashes, keys, proofs, signatures
from .codec import Reader, Refused, malformed
from .genesis import Genesis, request_weight

REQUEST_BYTES_MAX = 3_145_728
CALLS_MAX = 16
ARGUMENT_BYTES_MAX = 262_144
TOUCHED_MAX = 256
SIGNERS_MAX = 16
PROOF_BYTES_MAX = 1_048_576

CLIENT_KIND = 0
SYSTEM_KIND = 1


@dataclass(frozen=True)
class Call:
    operation: str
    arguments: bytes

    def encode(self) -> bytes:
        return codec.text(self.operation) + codec.byte_string(self.arguments)


@dataclass(frozen=True)
class Body:
    genesis: bytes
    calls: tuple[Call, ...]
    gas: int
    touched: tuple[str, ...]
    base: int
    nonce: bytes
    signers: tuple[bytes, ...]

    def encode(self) -> bytes:
        return (
            codec.fixed(self.genesis, 32)
            + codec.sequence([call.encode() for call in self.calls])
            + codec.u64(self.gas)
            + codec.sequence([codec.text(key) for key in self.touched])
            + codec.u64(self.base)
            + codec.fixed(self.nonce, 16)
            + codec.sequence(self.signers)
        )

    def identity(self) -> bytes:
        return hashes.hash(hashes.REQUEST_BODY, self.encode())

    def operations(self) -> list[str]:
        """The different operations, ascending by key."""
        return sorted({call.operation for call in self.calls}, key=lambda key: key.encode("utf-8"))


def read_body(reader: Reader) -> Body:
    body = Body(
        genesis=reader.hash(),
        calls=tuple(
            reader.sequence(CALLS_MAX, lambda: Call(keys.read_key(reader), reader.byte_string(ARGUMENT_BYTES_MAX)))
        ),
        gas=reader.u64(),
        touched=tuple(reader.sequence(TOUCHED_MAX, lambda: keys.read_key(reader))),
        base=reader.u64(),
        nonce=reader.take(16),
        signers=tuple(reader.sequence(SIGNERS_MAX, reader.hash)),
    )
    if not body.calls:
        raise malformed("no call")
    if not codec.ascends_strictly([key.encode("utf-8") for key in body.touched]):
        raise malformed("touched keys do not ascend strictly")
    if not codec.ascends_strictly(body.signers):
        raise malformed("signers do not ascend strictly")
    return body


@dataclass(frozen=True)
class Request:
    body: Body
    signatures: tuple[bytes, ...]
    proof: bytes
    values: tuple[Optional[bytes], ...]
    code: tuple[Optional[bytes], ...]

    def encode(self) -> bytes:
        return (
            codec.u8(CLIENT_KIND)
            + self.body.encode()
            + codec.sequence([codec.fixed(signature, 64) for signature in self.signatures])
            + codec.byte_string(self.proof)
            + codec.sequence([encode_optional_bytes(value) for value in self.values])
            + codec.sequence([encode_optional_bytes(code) for code in self.code])
        )


def encode_optional_bytes(value: Optional[bytes]) -> bytes:
    return codec.option(None if value is None else codec.byte_string(value))


def decode_request(data: bytes) -> Request:
    """A client's request, with the counts that must agree."""

    def read(reader: Reader) -> Request:
        if reader.u8() != CLIENT_KIND:
            raise malformed("not a client's request")
        return Request(
            body=read_body(reader),
            signatures=tuple(reader.sequence(SIGNERS_MAX, lambda: reader.take(64))),
            proof=reader.byte_string(PROOF_BYTES_MAX),
            values=tuple(
                reader.sequence(TOUCHED_MAX, lambda: reader.option(lambda: reader.byte_string(codec.VALUE_BYTES_MAX)))
            ),
            code=tuple(reader.sequence(CALLS_MAX, lambda: reader.option(lambda: reader.byte_string(codec.CODE_BYTES_MAX)))),
        )

    request = codec.decode_whole(data, read, REQUEST_BYTES_MAX)
    if len(request.signatures) != len(request.body.signers):
        raise malformed("as many signatures as signers")
    if len(request.values) != len(request.body.touched):
        raise malformed("as many values as touched keys")
    if len(request.code) != len(request.body.operations()):
        raise malformed("as many codes as different operations")
    return request


@dataclass(frozen=True)
class Acceptable:
    """A request that is fit for a block, with what its proof shows."""

    request: Request
    identity: bytes
    weight: int
    proof_root: bytes
    touched_digests: tuple[Optional[bytes], ...]
    operation_digests: tuple[Optional[bytes], ...]


def check_form(data: bytes, genesis: Genesis) -> Request:
    """The table of Unacceptable down to the second MALFORMED, for clients' requests."""
    if len(data) > genesis.limits.request_bytes:
        raise Refused("OVER_LIMIT", "request_bytes")
    if not data or data[0] not in (CLIENT_KIND, SYSTEM_KIND):
        raise Refused("MALFORMED", "kind")
    try:
        return decode_request(data)
    except Refused as refused:
        raise Refused("MALFORMED", str(refused)) from refused


def check_limits(request: Request, genesis: Genesis) -> None:
    """The second OVER_LIMIT, in its order."""
    body, limits = request.body, genesis.limits
    measured = (
        ("gas", body.gas, limits.gas),
        ("calls_max", len(body.calls), limits.calls_max),
        ("touched", len(body.touched), limits.touched),
        ("argument_bytes", sum(len(call.arguments) for call in body.calls), limits.argument_bytes),
        ("module_bytes", max(len(code or b"") for code in request.code), limits.module_bytes),
        ("record_bytes", sum(len(value or b"") for value in request.values), limits.record_bytes),
    )
    for name, found, most in measured:
        if found > most:
            raise Refused("OVER_LIMIT", name)


def check_request(data: bytes, genesis: Genesis) -> Acceptable:
    """Unacceptable: all checks in their order."""
    request = check_form(data, genesis)
    body = request.body
    if body.genesis != genesis.digest():
        raise Refused("WRONG_GENESIS")
    check_limits(request, genesis)
    try:
        proof = proofs.decode(request.proof, proofs.REQUEST_LIMITS)
    except Refused as refused:
        raise Refused("PROOF_INVALID", str(refused)) from refused

    touched_digests = []
    for key, value in zip(body.touched, request.values):
        try:
            proofs.check_value(proof, key.encode("utf-8"), value)
        except Refused as refused:
            reason = "KEY_NOT_PROVEN" if refused.reason == "not_decided" else "VALUE_MISMATCH"
            raise Refused(reason, key) from refused
        touched_digests.append(proofs.look_up(proof, keys.path_of_key(key))[1])
    operation_digests = []
    for operation in body.operations():
        says, digest = proofs.look_up(proof, keys.path_of_key(operation))
        if says == proofs.UNDECIDED:
            raise Refused("KEY_NOT_PROVEN", operation)
        operation_digests.append(digest)
    for code, digest in zip(request.code, operation_digests):
        if code is not None and hashes.plain_hash(code) != digest:
            raise Refused("CODE_MISMATCH")
    paths = [keys.path_of_key(key) for key in (*body.touched, *body.operations())]
    if not proofs.is_minimal(proof, paths):
        raise Refused("PROOF_EXCESSIVE")

    identity = body.identity()
    for signer, signature in zip(body.signers, request.signatures):
        if not signatures.holds(signer, signatures.request_message(identity), signature):
            raise Refused("BAD_SIGNATURE")
    weight = request_weight(
        len(data),
        len(request.signatures),
        proofs.count_nodes(proof),
        len(body.touched) + len(body.calls),
    )
    return Acceptable(request, identity, weight, proof.label, tuple(touched_digests), tuple(operation_digests))


@dataclass(frozen=True)
class Budget:
    """The limits that A block's budget names."""

    block_requests: int
    block_bytes: int
    block_gas: int
    block_weight: int


def check_budget(requests: Sequence[bytes], genesis: Genesis, budget: Budget) -> None:
    """Whether a block may hold these requests. The page gives no names of the reasons."""
    acceptable = []
    for data in requests:
        try:
            acceptable.append(check_request(data, genesis))
        except Refused as refused:
            raise Refused("request", refused.reason) from refused
    sums = (
        (len(requests), budget.block_requests),
        (sum(len(data) for data in requests), budget.block_bytes),
        (sum(shown.request.body.gas for shown in acceptable), budget.block_gas),
        (sum(shown.weight for shown in acceptable), budget.block_weight),
    )
    if any(found > most for found, most in sums):
        raise Refused("over_budget")
    if len({shown.identity for shown in acceptable}) != len(acceptable):
        raise Refused("twice")
