"""Votes, certificates, result proofs, signed results and steps (protocol.md, Votes and certificates)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from . import codec, hashes, signatures
from .blocks import Header, Result, read_header, read_result
from .codec import Reader, Refused, malformed
from .members import MEMBERS_MAX, Member, check_members, encode_members, members_digest, quorum, read_members

HEADERS_MAX = 256

NOTARIZE, NULLIFY, FINALIZE = 0, 1, 2
VOTE_NAMES = ("notarize", "nullify", "finalize")
NAMESPACE_ENDS = (b"_NOTARIZE", b"_NULLIFY", b"_FINALIZE")


def varint(number: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first, no more bytes than needed."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


@dataclass(frozen=True)
class Round:
    epoch: int
    view: int

    def encode(self) -> bytes:
        return codec.u64(self.epoch) + codec.u64(self.view)


def read_round(reader: Reader) -> Round:
    return Round(reader.u64(), reader.u64())


@dataclass(frozen=True)
class Vote:
    """A vote beside its round. A nullify has neither `parent_view` nor `block`."""

    kind: int
    parent_view: Optional[int]
    block: Optional[bytes]
    signature: bytes

    def encode(self) -> bytes:
        if self.kind == NULLIFY:
            return codec.u8(NULLIFY) + codec.fixed(self.signature, 64)
        assert self.parent_view is not None and self.block is not None
        return (
            codec.u8(self.kind)
            + codec.u64(self.parent_view)
            + codec.fixed(self.block, 32)
            + codec.fixed(self.signature, 64)
        )

    def message(self, genesis_digest: bytes, round: Round) -> bytes:
        return vote_message(self.kind, genesis_digest, round, self.parent_view, self.block)


def read_vote(reader: Reader) -> Vote:
    kind = reader.u8()
    if kind == NULLIFY:
        return Vote(kind, None, None, reader.take(64))
    if kind not in (NOTARIZE, FINALIZE):
        raise malformed(f"unknown kind {kind} of vote")
    return Vote(kind, reader.u64(), reader.hash(), reader.take(64))


def decode_vote(data: bytes) -> Vote:
    return codec.decode_whole(data, read_vote)


def vote_message(
    kind: int, genesis_digest: bytes, round: Round, parent_view: Optional[int], block: Optional[bytes]
) -> bytes:
    """What a member signs."""
    namespace = b"pleach/1/order/" + genesis_digest + NAMESPACE_ENDS[kind]
    message = varint(len(namespace)) + namespace + varint(round.epoch) + varint(round.view)
    if kind == NULLIFY:
        return message
    assert parent_view is not None and block is not None
    return message + varint(parent_view) + block


@dataclass(frozen=True)
class Certificate:
    epoch: int
    view: int
    parent_view: int
    block: bytes
    signers: bytes
    signatures: tuple[bytes, ...]

    def encode(self) -> bytes:
        return (
            codec.u64(self.epoch)
            + codec.u64(self.view)
            + codec.u64(self.parent_view)
            + codec.fixed(self.block, 32)
            + codec.byte_string(self.signers)
            + codec.sequence([codec.fixed(signature, 64) for signature in self.signatures])
        )


def read_certificate(reader: Reader) -> Certificate:
    return Certificate(
        epoch=reader.u64(),
        view=reader.u64(),
        parent_view=reader.u64(),
        block=reader.hash(),
        signers=reader.byte_string(MEMBERS_MAX),
        signatures=tuple(reader.sequence(MEMBERS_MAX, lambda: reader.take(64))),
    )


def check_certificate(
    certificate: Certificate, members: Sequence[Member], genesis_digest: bytes, kind: int = FINALIZE
) -> None:
    """Whether a certificate holds for a set of members. The page gives no names of the reasons."""
    if len(certificate.signers) < quorum(len(members)):
        raise Refused("too_few_signers")
    if len(certificate.signatures) != len(certificate.signers):
        raise Refused("signature_count")
    if any(left >= right for left, right in zip(certificate.signers, certificate.signers[1:])):
        raise Refused("repeated_signer")
    round = Round(certificate.epoch, certificate.view)
    message = vote_message(kind, genesis_digest, round, certificate.parent_view, certificate.block)
    for place, signature in zip(certificate.signers, certificate.signatures):
        if place >= len(members):
            raise Refused("foreign_signer", str(place))
        if not signatures.holds(members[place].key, message, signature):
            raise Refused("bad_signature", f"of the signer {place}")


@dataclass(frozen=True)
class ResultProof:
    headers: tuple[Header, ...]
    certificate: Certificate

    def encode(self) -> bytes:
        return codec.sequence([header.encode() for header in self.headers]) + self.certificate.encode()


def read_result_proof(reader: Reader) -> ResultProof:
    headers = reader.sequence(HEADERS_MAX, lambda: read_header(reader))
    return ResultProof(tuple(headers), read_certificate(reader))


def decode_result_proof(data: bytes) -> ResultProof:
    return codec.decode_whole(data, read_result_proof)


def check_result_proof(
    proof: ResultProof, members: Sequence[Member], genesis_digest: bytes, epoch_blocks: int
) -> Result:
    """Whether a result proof holds for a trusted set of members; gives the result that it proves."""
    if not proof.headers:
        raise Refused("no_header")
    first, last = proof.headers[0], proof.headers[-1]
    if last.digest() != proof.certificate.block:
        raise Refused("other_block")
    for before, header in zip(proof.headers, proof.headers[1:]):
        if header.context.parent != before.digest() or header.height != before.height + 1:
            raise Refused("broken_chain")
    if first.result.height != first.height - 1:
        raise Refused("result_height")
    if last.result.members != members_digest(members):
        raise Refused("other_members")
    check_certificate(proof.certificate, members, genesis_digest)
    if last.height // epoch_blocks != proof.certificate.epoch:
        raise Refused("other_epoch")
    return first.result


NONCE_BYTES = 16
STAGES = (NOTARIZE, FINALIZE)


@dataclass(frozen=True)
class NewestBlock:
    """protocol.md, The newest block: a block with the votes of a quorum."""

    stage: int
    certificate: Certificate
    header: Header

    def encode(self) -> bytes:
        return codec.u8(self.stage) + self.certificate.encode() + self.header.encode()

    def ends_epoch(self, epoch_blocks: int) -> bool:
        return self.header.height % epoch_blocks == epoch_blocks - 1

    def cover(self, epoch_blocks: int) -> int:
        """The least height at which nothing of this block and of those before it is missing."""
        if self.header.is_empty() and not self.ends_epoch(epoch_blocks):
            return self.header.height - 1
        return self.header.height


@dataclass(frozen=True)
class SignedNewest:
    newest: Optional[NewestBlock]
    signature: bytes

    def encode(self) -> bytes:
        block = b"\0" if self.newest is None else b"\1" + self.newest.encode()
        return block + codec.fixed(self.signature, 64)

    def message(self, nonce: bytes, genesis_digest: bytes) -> bytes:
        """What the member signs."""
        epoch, view, block = 0, 0, hashes.ZEROS
        if self.newest is not None:
            certificate = self.newest.certificate
            epoch, view, block = certificate.epoch, certificate.view, certificate.block
        data = genesis_digest + codec.u64(epoch) + codec.fixed(nonce, NONCE_BYTES) + codec.u64(view) + block
        return hashes.tag(hashes.NEWEST_SIGN) + hashes.hash(hashes.NEWEST_SIGN, data)


def read_newest_block(reader: Reader) -> NewestBlock:
    stage = reader.u8()
    if stage >= len(STAGES):
        raise malformed(f"unknown stage {stage}")
    return NewestBlock(stage, read_certificate(reader), read_header(reader))


def decode_signed_newest(data: bytes) -> SignedNewest:
    def read(reader: Reader) -> SignedNewest:
        newest = reader.option(lambda: read_newest_block(reader))
        return SignedNewest(newest, reader.take(64))

    return codec.decode_whole(data, read)


def check_signed_newest(
    signed: SignedNewest,
    node: bytes,
    nonce: bytes,
    members: Sequence[Member],
    genesis_digest: bytes,
    epoch_blocks: int,
) -> None:
    """protocol.md, The newest block: whether an answer of a member of the newest set counts."""
    newest = signed.newest
    if newest is not None:
        header, certificate = newest.header, newest.certificate
        if header.digest() != certificate.block:
            raise Refused("other_block")
        if header.result.height != header.height - 1:
            raise Refused("result_height")
        if header.result.members != members_digest(members):
            raise Refused("other_members")
        check_certificate(certificate, members, genesis_digest, STAGES[newest.stage])
        if header.height // epoch_blocks != certificate.epoch:
            raise Refused("other_epoch")
    if node not in [member.key for member in members]:
        raise Refused("not_member")
    if not signatures.holds(node, signed.message(nonce, genesis_digest), signed.signature):
        raise Refused("bad_signature")


@dataclass(frozen=True)
class SignedResult:
    """A result with a member's signature, as it stands in evidence; answers bring `node` beside."""

    result: Result
    signature: bytes

    def encode(self) -> bytes:
        return self.result.encode() + codec.fixed(self.signature, 64)

    def is_signed_by(self, key: bytes, genesis_digest: bytes) -> bool:
        message = signatures.result_message(genesis_digest, self.result.encode())
        return signatures.holds(key, message, self.signature)


def read_signed_result(reader: Reader) -> SignedResult:
    return SignedResult(read_result(reader), reader.take(64))


def check_signed_result(signed: SignedResult, node: bytes, members: Sequence[Member], genesis_digest: bytes) -> None:
    """protocol.md, A read, 3 and A receipt, 3: `node` is a member, the signature holds."""
    if node not in [member.key for member in members]:
        raise Refused("not_member")
    if not signed.is_signed_by(node, genesis_digest):
        raise Refused("bad_signature")


@dataclass(frozen=True)
class Step:
    members: tuple[Member, ...]
    proof: ResultProof

    def encode(self) -> bytes:
        return encode_members(self.members) + self.proof.encode()


def decode_step(data: bytes) -> Step:
    """The members need not be a set of members to decode: that is the last thing that is checked."""
    return codec.decode_whole(data, lambda reader: Step(tuple(read_members(reader)), read_result_proof(reader)))


def check_step(
    step: Step, members: Sequence[Member], epoch_blocks: int, genesis_digest: bytes, since: int = 0
) -> None:
    """protocol.md, Steps to other members: whether a step from the set that is trusted since an epoch holds."""
    if len(step.proof.headers) != 1:
        raise Refused("headers")
    if step.proof.certificate.epoch < since:
        raise Refused("earlier_step")
    header = step.proof.headers[0]
    epoch, place = divmod(header.height, epoch_blocks)
    if epoch != step.proof.certificate.epoch or place != epoch_blocks - 1:
        raise Refused("not_last")
    check_result_proof(step.proof, members, genesis_digest, epoch_blocks)
    check_members(step.members)
    if members_digest(step.members) != header.result.next:
        raise Refused("other_next")
