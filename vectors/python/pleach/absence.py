"""Proofs that a request was not executed (protocol.md, The proof that a request was not executed)."""

from __future__ import annotations

from dataclasses import dataclass

from . import codec, proofs
from .certificates import ResultProof, check_result_proof, read_result_proof
from .codec import Reader, Refused
from .genesis import Genesis
from .hashes import plain_hash

HEIGHTS_MAX = 128
PATH_BYTES_MAX = 32_768


@dataclass(frozen=True)
class AbsenceProof:
    results: ResultProof
    paths: tuple[bytes, ...]

    def encode(self) -> bytes:
        return self.results.encode() + codec.sequence([codec.byte_string(path) for path in self.paths])


def read_absence_proof(reader: Reader) -> AbsenceProof:
    results = read_result_proof(reader)
    return AbsenceProof(results, tuple(reader.sequence(HEIGHTS_MAX, lambda: reader.byte_string(PATH_BYTES_MAX))))


def decode_absence_proof(data: bytes) -> AbsenceProof:
    return codec.decode_whole(data, read_absence_proof)


def check_absent(identity: bytes, path: bytes, root: bytes) -> None:
    """Whether a request has no receipt under a receipts root."""
    shown = proofs.verify(path, root, proofs.ABSENCE_LIMITS)
    says, _ = proofs.look_up(shown, plain_hash(identity))
    if says != proofs.ABSENT:
        raise Refused("not_absent", f"the proof says {says}")


def check_absence_proof(proof: AbsenceProof, identity: bytes, first: int, trusted: Genesis) -> int:
    """Whether a request was executed in none of the heights from `first` on; gives the last of them."""
    headers = proof.results.headers
    if not headers or headers[0].height != first + 1:
        raise Refused("not_absent", "of other heights")
    if not proof.paths or len(proof.paths) > len(headers):
        raise Refused("not_absent", "not one path for each height")
    check_result_proof(proof.results, trusted.members, trusted.digest(), trusted.governance.epoch_blocks)
    for header, path in zip(headers, proof.paths):
        if header.result.height != header.height - 1:
            raise Refused("result_height")
        check_absent(identity, path, header.result.receipts)
    return first + len(proof.paths) - 1
