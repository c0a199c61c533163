"""Evidence against members (protocol.md, Evidence)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from . import codec, hashes, signatures
from .blocks import Result
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

EVIDENCE_BYTES_MAX = 8_192

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
class Evidence:
    genesis: bytes
    accused: bytes
    case: Union[TwoVotes, WrongResult, TwoResults]

    def encode(self) -> bytes:
        return codec.fixed(self.genesis, 32) + codec.fixed(self.accused, 32) + self.case.encode()

    def digest(self) -> bytes:
        return hashes.hash(hashes.EVIDENCE, self.encode())


def read_case(reader: Reader) -> Union[TwoVotes, WrongResult, TwoResults]:
    number = reader.u8()
    case: Union[TwoVotes, TwoResults]
    if number == 0:
        case = TwoVotes(read_round(reader), read_vote(reader), read_vote(reader))
    elif number == 1:
        return WrongResult(read_signed_result(reader))
    elif number == 2:
        case = TwoResults(read_signed_result(reader), read_signed_result(reader))
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


def judge(evidence: Evidence, genesis: bytes, certified: Optional[Result]) -> str:
    """The strength of the proof of guilt; refused with the first reason of the table that applies."""
    if evidence.genesis != genesis:
        raise Refused("OTHER_GENESIS")
    if isinstance(evidence.case, TwoVotes):
        return judge_votes(evidence.case, evidence.accused, genesis)
    if isinstance(evidence.case, WrongResult):
        return judge_wrong_result(evidence.case, evidence.accused, genesis, certified)
    return judge_results(evidence.case, evidence.accused, genesis)
