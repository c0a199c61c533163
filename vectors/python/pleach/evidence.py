"""Evidence against members (protocol.md, Evidence)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from . import codec, hashes, keys, proofs, signatures
from .blocks import Result, read_result
from .certificates import (
    FINALIZE,
    NULLIFY,
    Round,
    SignedResult,
    Vote,
    read_round,
    read_signed_result,
    read_vote,
)
from .codec import Reader, Refused, malformed

EVIDENCE_BYTES_MAX = 12_416
SIGNED_REPLY_BYTES_MAX = 12_288
SIGNED_REPLY_KEYS_MAX = 16
SIGNED_REPLY_LIMITS = proofs.Limits(12_288, 1_024, 192)

ABSOLUTE, RELATIVE = "absolute", "relative"


@dataclass(frozen=True)
class TwoVotes:
    """Case 0: two votes of one round."""

    round: Round
    first: Vote
    second: Vote

    def encode(self) -> bytes:
        return codec.u8(0) + self.round.encode() + self.first.encode() + self.second.encode()


@dataclass(frozen=True)
class WrongResult:
    """Case 1: a result that is not the certified one."""

    signed: SignedResult

    def encode(self) -> bytes:
        return codec.u8(1) + self.signed.encode()


@dataclass(frozen=True)
class TwoResults:
    """Case 2: two results of one height."""

    first: SignedResult
    second: SignedResult

    def encode(self) -> bytes:
        return codec.u8(2) + self.first.encode() + self.second.encode()


@dataclass(frozen=True)
class SignedReply:
    """Case 3: an answer to a read that does not answer its question."""

    keys: tuple[str, ...]
    without_values: tuple[str, ...]
    height: Optional[int]
    min_height: Optional[int]
    result: Result
    values: tuple[Optional[bytes], ...]
    proof: bytes
    signature: bytes

    def unsigned(self) -> bytes:
        def number(value: Optional[int]) -> bytes:
            return codec.option(None if value is None else codec.u64(value))

        digests = [codec.option(value) for value in self.values]
        return (
            codec.sequence([codec.text(key) for key in self.keys])
            + codec.sequence([codec.text(key) for key in self.without_values])
            + number(self.height)
            + number(self.min_height)
            + self.result.encode()
            + codec.sequence(digests)
            + codec.byte_string(self.proof)
        )

    def encode(self) -> bytes:
        return codec.u8(3) + self.unsigned() + codec.fixed(self.signature, 64)

    def is_signed_by(self, key: bytes, genesis: bytes) -> bool:
        tag = hashes.tag(hashes.REPLY_SIGN)
        message = tag + hashes.hash(hashes.REPLY_SIGN, genesis + self.unsigned())
        return signatures.holds(key, message, self.signature)


def read_signed_reply(reader: Reader) -> SignedReply:
    lists = []
    for _ in range(2):
        found = reader.sequence(SIGNED_REPLY_KEYS_MAX, lambda: keys.read_key(reader))
        if not codec.ascends_strictly([key.encode() for key in found]):
            raise malformed("keys do not ascend strictly")
        lists.append(tuple(found))
    height, least = reader.option(reader.u64), reader.option(reader.u64)
    result = read_result(reader)
    values = tuple(reader.sequence(SIGNED_REPLY_KEYS_MAX, lambda: reader.option(reader.hash)))
    proof = reader.byte_string(SIGNED_REPLY_BYTES_MAX)
    return SignedReply(lists[0], lists[1], height, least, result, values, proof, reader.take(64))


def answers(reply: SignedReply) -> bool:
    """Whether an answer answers its question under the root that it names."""
    found = reply.result.height
    if reply.height is not None and reply.height != found:
        return False
    if reply.min_height is not None and found < reply.min_height:
        return False
    if len(reply.values) != len(reply.keys):
        return False
    try:
        proof = proofs.verify(reply.proof, reply.result.root, SIGNED_REPLY_LIMITS)
    except Refused:
        return False
    for key, value in zip(reply.keys, reply.values):
        says, digest = proofs.look_up(proof, hashes.plain_hash(key.encode()))
        if says == proofs.UNDECIDED:
            return False
        left_out = value is None and key in reply.without_values
        if not left_out and value != digest:
            return False
    return True


@dataclass(frozen=True)
class Evidence:
    genesis: bytes
    accused: bytes
    case: Union[TwoVotes, WrongResult, TwoResults, SignedReply]

    def encode(self) -> bytes:
        return codec.fixed(self.genesis, 32) + codec.fixed(self.accused, 32) + self.case.encode()

    def digest(self) -> bytes:
        return hashes.hash(hashes.EVIDENCE, self.encode())


def read_case(reader: Reader) -> Union[TwoVotes, WrongResult, TwoResults, SignedReply]:
    number = reader.u8()
    case: Union[TwoVotes, TwoResults]
    if number == 0:
        case = TwoVotes(read_round(reader), read_vote(reader), read_vote(reader))
    elif number == 1:
        return WrongResult(read_signed_result(reader))
    elif number == 2:
        case = TwoResults(read_signed_result(reader), read_signed_result(reader))
    elif number == 3:
        return read_signed_reply(reader)
    else:
        raise malformed(f"unknown case {number}")
    if not case.first.encode() < case.second.encode():
        raise malformed("the two do not ascend strictly")
    return case


def decode_evidence(data: bytes) -> Evidence:
    return codec.decode_whole(
        data, lambda reader: Evidence(reader.hash(), reader.hash(), read_case(reader)), EVIDENCE_BYTES_MAX
    )


def exclude_each_other(first: Vote, second: Vote) -> bool:
    """Two votes of one round that no honest member signs both."""
    if first.kind == second.kind and first.kind != NULLIFY:
        return (first.parent_view, first.block) != (second.parent_view, second.block)
    return {first.kind, second.kind} == {NULLIFY, FINALIZE}


def judge_votes(case: TwoVotes, accused: bytes, genesis: bytes) -> str:
    if not exclude_each_other(case.first, case.second):
        raise Refused("COMPATIBLE")
    for vote in (case.first, case.second):
        if not signatures.holds(accused, vote.message(genesis, case.round), vote.signature):
            raise Refused("BAD_SIGNATURE")
    return ABSOLUTE


def judge_wrong_result(case: WrongResult, accused: bytes, genesis: bytes, certified: Optional[Result]) -> str:
    if certified is None or certified.height != case.signed.result.height:
        raise Refused("UNKNOWN_HEIGHT")
    if certified == case.signed.result:
        raise Refused("TRUE")
    if not case.signed.is_signed_by(accused, genesis):
        raise Refused("BAD_SIGNATURE")
    return RELATIVE


def judge_results(case: TwoResults, accused: bytes, genesis: bytes) -> str:
    if case.first.result == case.second.result:
        raise Refused("COMPATIBLE")
    if case.first.result.height != case.second.result.height:
        raise Refused("OTHER_HEIGHT")
    for signed in (case.first, case.second):
        if not signed.is_signed_by(accused, genesis):
            raise Refused("BAD_SIGNATURE")
    return ABSOLUTE


def judge_reply(case: SignedReply, accused: bytes, genesis: bytes) -> str:
    if answers(case):
        raise Refused("ANSWERED")
    if not case.is_signed_by(accused, genesis):
        raise Refused("BAD_SIGNATURE")
    return ABSOLUTE


def judge(evidence: Evidence, genesis: bytes, certified: Optional[Result]) -> str:
    """The strength of the proof of guilt; refused with the first reason of the table that applies."""
    if evidence.genesis != genesis:
        raise Refused("OTHER_GENESIS")
    if isinstance(evidence.case, TwoVotes):
        return judge_votes(evidence.case, evidence.accused, genesis)
    if isinstance(evidence.case, WrongResult):
        return judge_wrong_result(evidence.case, evidence.accused, genesis, certified)
    if isinstance(evidence.case, SignedReply):
        return judge_reply(evidence.case, evidence.accused, genesis)
    return judge_results(evidence.case, evidence.accused, genesis)
