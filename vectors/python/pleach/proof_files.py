"""Proof files (protocol.md, Proof files)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Sequence, TypeVar

from . import codec, evidence, history, proofs, receipts
from . import genesis as genesis_module
from .absence import PATH_BYTES_MAX, check_absent
from .blocks import Result, read_result
from .certificates import ResultProof, Step, check_result_proof, check_step, read_result_proof
from .codec import Reader, Refused, malformed
from .evidence import Evidence
from .genesis import Genesis, read_genesis
from .keys import read_key
from .members import Member, read_members
from .receipts import Receipt, read_receipt

NAME, HEADER = b"pleach-proof/", b"pleach-proof/1\n"
FILE_BYTES_MAX = 67_108_864
STEPS_MAX = OLDER_MAX = RECEIPTS_MAX = KEYS_MAX = 1_024
READS_MAX = ABSENCES_MAX = 64
EVIDENCE_MAX = 256
SIBLINGS_MAX = 64
PROOF_BYTES_MAX = 4_194_304

Item = TypeVar("Item")


@dataclass(frozen=True)
class Older:
    result: Result
    siblings: tuple[bytes, ...]

    def encode(self) -> bytes:
        return self.result.encode() + codec.sequence(self.siblings)


@dataclass(frozen=True)
class Read:
    height: int
    proof: bytes
    records: tuple[tuple[str, Optional[bytes]], ...]

    def encode(self) -> bytes:
        records = [
            codec.text(key) + codec.option(None if value is None else codec.byte_string(value))
            for key, value in self.records
        ]
        return codec.u64(self.height) + codec.byte_string(self.proof) + codec.sequence(records)


@dataclass(frozen=True)
class ReceiptAt:
    receipt: Receipt
    path: bytes

    def encode(self) -> bytes:
        return self.receipt.encode() + codec.byte_string(self.path)


@dataclass(frozen=True)
class AbsentIn:
    identity: bytes
    first: int
    paths: tuple[bytes, ...]

    def encode(self) -> bytes:
        return self.identity + codec.u64(self.first) + codec.sequence([codec.byte_string(path) for path in self.paths])


@dataclass(frozen=True)
class ProofFile:
    genesis: Genesis
    steps: tuple[Step, ...]
    head: Optional[ResultProof]
    older: tuple[Older, ...]
    reads: tuple[Read, ...]
    receipts: tuple[ReceiptAt, ...]
    absences: tuple[AbsentIn, ...]
    evidence: tuple[Evidence, ...]
    fork: Optional[ResultProof]

    def encode(self) -> bytes:
        lists = (self.older, self.reads, self.receipts, self.absences, self.evidence)
        return (
            HEADER
            + self.genesis.encode()
            + codec.sequence([step.encode() for step in self.steps])
            + codec.option(None if self.head is None else self.head.encode())
            + b"".join(codec.sequence([item.encode() for item in items]) for items in lists)
            + codec.option(None if self.fork is None else self.fork.encode())
        )


def read_step(reader: Reader) -> Step:
    return Step(tuple(read_members(reader)), read_result_proof(reader))


def read_older(reader: Reader) -> Older:
    return Older(read_result(reader), tuple(reader.sequence(SIBLINGS_MAX, reader.hash)))


def read_record(reader: Reader) -> tuple[str, Optional[bytes]]:
    return read_key(reader), reader.option(lambda: reader.byte_string(codec.VALUE_BYTES_MAX))


def read_read(reader: Reader) -> Read:
    height, proof = reader.u64(), reader.byte_string(PROOF_BYTES_MAX)
    records = tuple(reader.sequence(KEYS_MAX, lambda: read_record(reader)))
    if not codec.ascends_strictly([key.encode() for key, _ in records]):
        raise malformed("keys do not ascend strictly")
    return Read(height, proof, records)


def read_receipt_at(reader: Reader) -> ReceiptAt:
    return ReceiptAt(read_receipt(reader), reader.byte_string(PROOF_BYTES_MAX))


def read_absent_in(reader: Reader) -> AbsentIn:
    identity, first = reader.hash(), reader.u64()
    paths = reader.sequence(OLDER_MAX + 1, lambda: reader.byte_string(PATH_BYTES_MAX))
    return AbsentIn(identity, first, tuple(paths))


def read_evidence(reader: Reader) -> Evidence:
    return Evidence(reader.hash(), reader.hash(), evidence.read_case(reader))


def read_file(reader: Reader) -> ProofFile:
    reader.take(len(HEADER))

    def items(limit: int, read: Callable[[Reader], Item]) -> tuple[Item, ...]:
        return tuple(reader.sequence(limit, lambda: read(reader)))

    file = ProofFile(
        genesis=read_genesis(reader),
        steps=items(STEPS_MAX, read_step),
        head=reader.option(lambda: read_result_proof(reader)),
        older=items(OLDER_MAX, read_older),
        reads=items(READS_MAX, read_read),
        receipts=items(RECEIPTS_MAX, read_receipt_at),
        absences=items(ABSENCES_MAX, read_absent_in),
        evidence=items(EVIDENCE_MAX, read_evidence),
        fork=reader.option(lambda: read_result_proof(reader)),
    )
    genesis_module.check_genesis(file.genesis)
    for keys in (
        [older.result.height.to_bytes(8, "big") for older in file.older],
        [read.height.to_bytes(8, "big") for read in file.reads],
        [at.receipt.identity for at in file.receipts],
        [absent.identity for absent in file.absences],
        [each.encode() for each in file.evidence],
    ):
        if not codec.ascends_strictly(keys):
            raise malformed("a list does not ascend strictly")
    return file


def decode_file(data: bytes) -> ProofFile:
    """Refuses another file, another version, and what does not decode."""
    if not data.startswith(HEADER):
        if data and HEADER.startswith(data):
            raise malformed("ends inside the header")
        raise Refused("other_version" if data.startswith(NAME) else "other_file")
    return codec.decode_whole(data, read_file, FILE_BYTES_MAX)


@dataclass(frozen=True)
class Conviction:
    digest: bytes
    member: Member
    strength: str


@dataclass(frozen=True)
class Proven:
    members: tuple[Member, ...]
    head: Optional[Result]
    older: tuple[Result, ...]
    records: tuple[tuple[int, str, Optional[bytes]], ...]
    receipts: tuple[Receipt, ...]
    absences: tuple[tuple[bytes, int, int], ...]
    convictions: tuple[Conviction, ...]
    fork: Optional[tuple[Result, Result]]


def under(reason: str, check: Callable[[], Item]) -> Item:
    """The outcome of a check; what it refuses is refused by the name of the part."""
    try:
        return check()
    except Refused as refused:
        raise Refused(reason, str(refused)) from None


def accused_member(accused: bytes, sets: Sequence[Sequence[Member]]) -> Member:
    for members in reversed(sets):
        for member in members:
            if accused in (member.key, member.previous):
                return member
    raise Refused("no_member")


def judge(file: ProofFile, genesis: bytes) -> Proven:
    """What the file proves under a genesis digest; refused with the name of the first part that does not hold."""
    if file.genesis.digest() != genesis:
        raise Refused("other_genesis")
    if file.head is None and not (file.reads or file.receipts or file.absences or file.evidence or file.fork):
        raise Refused("empty")
    sets: list[tuple[Member, ...]] = [tuple(file.genesis.members)]
    epoch_blocks = file.genesis.governance.epoch_blocks
    since = [0]
    for step in file.steps:
        epoch = step.proof.certificate.epoch
        under("step", lambda: check_step(step, sets[-1], epoch_blocks, genesis, since[-1]))
        sets.append(step.members)
        since.append(epoch + 1)

    known = [genesis_module.result_of_height_0(file.genesis)]
    head: Optional[Result] = None

    def certified(proof: ResultProof) -> Result:
        in_force = sum(first <= proof.certificate.epoch for first in since) - 1
        return check_result_proof(proof, sets[in_force], genesis, epoch_blocks)

    if file.head is not None:
        proof = file.head
        head = under("head", lambda: certified(proof))
        known.append(head)
    for older in file.older:
        if head is None:
            raise Refused("no_result")
        newest, leaf = head, history.leaf(older.result.encode())
        at, siblings = older.result.height, older.siblings
        under("older", lambda: history.check_inclusion(leaf, at, newest.height, newest.history, siblings))
        known.append(older.result)

    def result_at(height: int) -> Result:
        for result in known:
            if result.height == height:
                return result
        raise Refused("no_result")

    records = []
    for read in file.reads:
        root = result_at(read.height).root

        def check_read() -> None:
            tree = proofs.verify(read.proof, root, proofs.ANSWER_LIMITS)
            for key, value in read.records:
                proofs.check_value(tree, key.encode(), value)

        under("records", check_read)
        records += [(read.height, key, value) for key, value in read.records]
    for receipt_at in file.receipts:
        receipt, result = receipt_at.receipt, result_at(receipt_at.receipt.height)
        under("receipt", lambda: receipts.check_receipt(receipt.identity, receipt.encode(), receipt_at.path, result))
    absences = []
    for absent in file.absences:
        if not absent.paths:
            raise Refused("absence", "no path")
        for height, path in enumerate(absent.paths, absent.first):
            root = result_at(height).receipts
            under("absence", lambda: check_absent(absent.identity, path, root))
        absences.append((absent.identity, absent.first, absent.first + len(absent.paths) - 1))
    convictions = []
    for each in file.evidence:
        truth = None
        if isinstance(each.case, evidence.WrongResult):
            truth = result_at(each.case.signed.result.height)
        strength = under("evidence", lambda: evidence.judge(each, genesis, truth))
        convictions.append(Conviction(each.digest(), accused_member(each.accused, sets), strength))
    fork = None
    if file.fork is not None:
        other_proof = file.fork
        other = under("fork", lambda: certified(other_proof))
        fork = (result_at(other.height), other)
        if fork[0] == other:
            raise Refused("no_fork")
    return Proven(
        members=sets[-1],
        head=head,
        older=tuple(older.result for older in file.older),
        records=tuple(records),
        receipts=tuple(at.receipt for at in file.receipts),
        absences=tuple(absences),
        convictions=tuple(convictions),
        fork=fork,
    )

