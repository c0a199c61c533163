"""Genesis, its rules, its form as JSON, the record `.cluster` and height 0 (protocol.md, Genesis)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, fields
from typing import Any, Mapping, Sequence

from . import blocks, codec, hashes, keys, proofs, signatures
from .codec import Reader, Refused, malformed
from .members import (
    MEMBERS_MAX,
    Member,
    ascend_by_key,
    check_members,
    encode_members,
    faults_tolerated,
    members_digest,
    read_members,
)

GENESIS_BYTES_MAX = 16_777_216
NAME_BYTES_MAX = 64
RECORDS_MAX = 1_024
OWNERS_MAX = 16
VERDICTS_MAX = 4_096
SIGNERS_MAX = 16
REQUEST_NODES_MAX = proofs.REQUEST_LIMITS.nodes
DOMAINS = ("open", "approved")


@dataclass(frozen=True)
class Limits:
    """`limits`, in the order of the encoding."""

    gas: int
    cost_table: int
    module_bytes: int
    warm_code_bytes: int
    value_bytes: int
    record_bytes: int
    touched: int
    argument_bytes: int
    calls_max: int
    request_bytes: int
    block_requests: int
    block_bytes: int
    block_gas: int
    block_weight: int

    def encode(self) -> bytes:
        return b"".join(
            codec.u64(getattr(self, name)) if name in U64_LIMITS else codec.u32(getattr(self, name))
            for name in LIMIT_NAMES
        )


LIMIT_NAMES = tuple(field.name for field in fields(Limits))
U64_LIMITS = ("gas", "block_gas", "block_weight")

# limits.md: the column "most", for those that have 1 as their least.
MOST = {
    "module_bytes": 2_097_152,
    "warm_code_bytes": 67_108_864,
    "value_bytes": 1_048_576,
    "record_bytes": 3_145_728,
    "touched": 256,
    "argument_bytes": 262_144,
    "calls_max": 1,
    "request_bytes": 3_145_728,
    "block_requests": 4_096,
    "block_bytes": 8_388_608 - 20_480,
    "block_gas": 1_000_000_000,
    "block_weight": 1_000_000_000,
}
GAS_MOST = 100_000_000


def read_limits(reader: Reader) -> Limits:
    return Limits(**{name: reader.u64() if name in U64_LIMITS else reader.u32() for name in LIMIT_NAMES})


@dataclass(frozen=True)
class Governance:
    epoch_blocks: int
    members_max: int
    expulsions: int
    absent_epochs: int
    owners: tuple[bytes, ...]
    threshold: int
    domains: int

    def encode(self) -> bytes:
        return (
            codec.u32(self.epoch_blocks)
            + codec.u16(self.members_max)
            + codec.u8(self.expulsions)
            + codec.u16(self.absent_epochs)
            + codec.sequence(self.owners)
            + codec.u8(self.threshold)
            + codec.u8(self.domains)
        )


def read_owners(reader: Reader) -> tuple[bytes, ...]:
    owners = reader.sequence(OWNERS_MAX, reader.hash)
    if not codec.ascends_strictly(owners):
        raise malformed("owners do not ascend strictly")
    return tuple(owners)


def read_governance(reader: Reader) -> Governance:
    governance = Governance(
        epoch_blocks=reader.u32(),
        members_max=reader.u16(),
        expulsions=reader.u8(),
        absent_epochs=reader.u16(),
        owners=read_owners(reader),
        threshold=reader.u8(),
        domains=reader.u8(),
    )
    if governance.domains >= len(DOMAINS):
        raise malformed(f"unknown number {governance.domains} of domains")
    return governance


@dataclass(frozen=True)
class Genesis:
    name: str
    salt: bytes
    members: tuple[Member, ...]
    window: int  # T
    bits: int
    replicas: int
    governance: Governance
    limits: Limits
    records: tuple[tuple[str, bytes], ...]

    def encode(self) -> bytes:
        return (
            codec.text(self.name)
            + codec.fixed(self.salt, 16)
            + encode_members(self.members)
            + codec.u64(self.window)
            + codec.u8(self.bits)
            + codec.u16(self.replicas)
            + self.governance.encode()
            + self.limits.encode()
            + codec.sequence([codec.text(key) + codec.byte_string(value) for key, value in self.records])
        )

    def digest(self) -> bytes:
        """What clients pin."""
        return hashes.hash(hashes.GENESIS, self.encode())


def read_genesis(reader: Reader) -> Genesis:
    return Genesis(
        name=reader.text(NAME_BYTES_MAX),
        salt=reader.take(16),
        members=tuple(read_members(reader)),
        window=reader.u64(),
        bits=reader.u8(),
        replicas=reader.u16(),
        governance=read_governance(reader),
        limits=read_limits(reader),
        records=tuple(
            reader.sequence(RECORDS_MAX, lambda: (keys.read_key(reader), reader.byte_string(codec.VALUE_BYTES_MAX)))
        ),
    )


def decode_genesis(data: bytes) -> Genesis:
    """Decodes, and checks the rules."""
    genesis = codec.decode_whole(data, read_genesis, GENESIS_BYTES_MAX)
    check_genesis(genesis)
    return genesis


# Rules


def demand(condition: bool, rule: str) -> None:
    if not condition:
        raise Refused("genesis", rule)


def request_weight(byte_count: int, signatures: int, nodes: int, key_count: int) -> int:
    """protocol.md, Weight."""
    return 10_000 + 3 * byte_count + 25_000 * signatures + 150 * nodes + 1_500 * key_count


def heaviest_request_weight(limits: Limits) -> int:
    key_count = limits.touched + limits.calls_max
    nodes = min(512 * key_count + 1, REQUEST_NODES_MAX)
    return request_weight(limits.request_bytes, SIGNERS_MAX, nodes, key_count)


def check_limits(limits: Limits) -> None:
    for name, most in MOST.items():
        demand(1 <= getattr(limits, name) <= most, f"limit {name}")
    demand(1 <= limits.gas <= min(GAS_MOST, limits.block_gas), "limit gas")
    demand(limits.block_weight >= heaviest_request_weight(limits), "the heaviest request does not fit")
    demand(limits.module_bytes <= limits.warm_code_bytes, "module_bytes above warm_code_bytes")
    demand(limits.request_bytes <= limits.block_bytes, "request_bytes above block_bytes")


def check_genesis(genesis: Genesis) -> None:
    """The rules, in the order of the page."""
    demand(1 <= len(genesis.name.encode("utf-8")) <= NAME_BYTES_MAX, "name")
    check_members(genesis.members)
    demand(all(member.capacity >= 1 for member in genesis.members), "capacity")
    demand(1 <= genesis.window <= 65_536, "T")
    demand(0 <= genesis.bits <= 12, "bits")
    demand(genesis.replicas >= 1, "replicas")
    governance = genesis.governance
    demand(16 <= governance.epoch_blocks <= 1_048_576, "epoch_blocks")
    demand(len(genesis.members) <= governance.members_max <= MEMBERS_MAX, "members_max")
    demand(len(governance.owners) <= OWNERS_MAX, "owners")
    demand(codec.ascends_strictly(governance.owners), "owners do not ascend strictly")
    demand(all(map(signatures.is_sound, governance.owners)), "the key of an owner is not sound")
    if governance.owners:
        demand(1 <= governance.threshold <= len(governance.owners), "threshold")
    else:
        demand(governance.threshold == 0, "a threshold without owners")
    demand(governance.domains == 0 or bool(governance.owners), "domains approved without owners")
    check_limits(genesis.limits)
    demand(len(genesis.records) <= RECORDS_MAX, "records")
    encoded_keys = [key.encode("utf-8") for key, _ in genesis.records]
    demand(codec.ascends_strictly(encoded_keys), "records do not ascend strictly")
    for key, value in genesis.records:
        keys.check_key(key.encode("utf-8"))
        demand(key != keys.CLUSTER, "a record .cluster")
        demand(len(value) <= genesis.limits.value_bytes, "a long value")
    demand(len(genesis.encode()) <= GENESIS_BYTES_MAX, "too long")


# As JSON


def take_names(document: Any, names: Sequence[str], optional: Sequence[str] = ()) -> Mapping[str, Any]:
    """No other names may appear."""
    demand(isinstance(document, dict), "not an object")
    demand(set(names) <= set(document) <= set(names) | set(optional), f"names {sorted(document)}")
    return document


def number(value: Any, bits: int) -> int:
    demand(type(value) is int and 0 <= value < 1 << bits, f"not a number of {bits} bits")
    return value


def string(value: Any) -> str:
    demand(isinstance(value, str), "not a text")
    return value


def hex_bytes(value: Any, size: int) -> bytes:
    demand(re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", string(value)) is not None, f"not {2 * size} hex digits")
    return bytes.fromhex(value)


def base64_bytes(value: Any) -> bytes:
    try:
        decoded = base64.b64decode(string(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("genesis", "not base64") from error
    demand(base64.b64encode(decoded).decode("ascii") == value, "base64 that is not canonical")
    return decoded


def member_of_document(document: Any) -> Member:
    entry = take_names(document, ["name", "public_key"], ["id", "capacity", "address", "previous"])
    key = hex_bytes(entry["public_key"], 32)
    return Member(
        id=hex_bytes(entry["id"], 32) if "id" in entry else key,
        key=key,
        name=string(entry["name"]),
        capacity=number(entry.get("capacity", 1), 32),
        address=string(entry.get("address", "")),
        previous=hex_bytes(entry["previous"], 32) if "previous" in entry else None,
    )


def governance_of_document(document: Any) -> Governance:
    names = ["epoch_blocks", "members_max", "expulsions", "absent_epochs", "owners", "threshold", "domains"]
    entry = take_names(document, names)
    demand(isinstance(entry["owners"], list), "owners are no list")
    demand(entry["domains"] in DOMAINS, "domains")
    return Governance(
        epoch_blocks=number(entry["epoch_blocks"], 32),
        members_max=number(entry["members_max"], 16),
        expulsions=number(entry["expulsions"], 8),
        absent_epochs=number(entry["absent_epochs"], 16),
        owners=tuple(hex_bytes(owner, 32) for owner in entry["owners"]),
        threshold=number(entry["threshold"], 8),
        domains=DOMAINS.index(entry["domains"]),
    )


def genesis_of_document(document: Any) -> Genesis:
    """Reads the JSON form and checks the rules. The caller compares the digest."""
    names = ["name", "salt", "members", "window", "partitioning", "governance", "limits", "records"]
    entry = take_names(document, names)
    demand(isinstance(entry["members"], list), "members are no list")
    partitioning = take_names(entry["partitioning"], ["bits", "replicas"])
    limits = take_names(entry["limits"], LIMIT_NAMES)
    demand(isinstance(entry["records"], dict), "records are no object")
    records = [(key, base64_bytes(value)) for key, value in entry["records"].items()]
    genesis = Genesis(
        name=string(entry["name"]),
        salt=hex_bytes(entry["salt"], 16),
        members=tuple(member_of_document(member) for member in entry["members"]),
        window=number(entry["window"], 64),
        bits=number(partitioning["bits"], 8),
        replicas=number(partitioning["replicas"], 16),
        governance=governance_of_document(entry["governance"]),
        limits=Limits(**{name: number(limits[name], 64 if name in U64_LIMITS else 32) for name in LIMIT_NAMES}),
        # An object has no order of its own, so the order is that of the keys' bytes.
        records=tuple(sorted(records, key=lambda record: record[0].encode("utf-8"))),
    )
    check_genesis(genesis)
    return genesis


def document_of_member(member: Member) -> dict[str, Any]:
    document: dict[str, Any] = {"name": member.name, "public_key": member.key.hex(), "capacity": member.capacity}
    if member.id != member.key:
        document["id"] = member.id.hex()
    if member.address:
        document["address"] = member.address
    if member.previous is not None:
        document["previous"] = member.previous.hex()
    return document


def document_of_genesis(genesis: Genesis) -> dict[str, Any]:
    """The JSON form. It leaves out what stands for itself, but for `capacity`."""
    governance = genesis.governance
    return {
        "name": genesis.name,
        "salt": genesis.salt.hex(),
        "members": [document_of_member(member) for member in genesis.members],
        "window": genesis.window,
        "partitioning": {"bits": genesis.bits, "replicas": genesis.replicas},
        "governance": {
            "epoch_blocks": governance.epoch_blocks,
            "members_max": governance.members_max,
            "expulsions": governance.expulsions,
            "absent_epochs": governance.absent_epochs,
            "owners": [owner.hex() for owner in governance.owners],
            "threshold": governance.threshold,
            "domains": DOMAINS[governance.domains],
        },
        "limits": {name: getattr(genesis.limits, name) for name in LIMIT_NAMES},
        "records": {key: base64.b64encode(value).decode("ascii") for key, value in genesis.records},
    }


# The record `.cluster`


@dataclass(frozen=True)
class Verdict:
    key: bytes
    kind: int
    evidence: bytes
    height: int
    removed: bool

    def encode(self) -> bytes:
        return (
            codec.fixed(self.key, 32)
            + codec.u8(self.kind)
            + codec.fixed(self.evidence, 32)
            + codec.u64(self.height)
            + codec.u8(self.removed)
        )


def read_verdict(reader: Reader) -> Verdict:
    key, kind, evidence, height, removed = reader.hash(), reader.u8(), reader.hash(), reader.u64(), reader.u8()
    if removed > 1:
        raise malformed(f"removed is {removed}")
    return Verdict(key, kind, evidence, height, removed == 1)


@dataclass(frozen=True)
class Terms:
    """What the owners may change without a new genesis."""

    rules: int
    gas: int
    block_gas: int
    block_weight: int
    expulsions: int

    def encode(self) -> bytes:
        limits = codec.u64(self.gas) + codec.u64(self.block_gas) + codec.u64(self.block_weight)
        return codec.u32(self.rules) + limits + codec.u8(self.expulsions)


def read_terms(reader: Reader) -> Terms:
    terms = Terms(reader.u32(), reader.u64(), reader.u64(), reader.u64(), reader.u8())
    if terms.rules == 0:
        raise malformed("versions of the rules begin with 1")
    return terms


def terms_of_height_0(genesis: Genesis) -> Terms:
    limits = genesis.limits
    return Terms(1, limits.gas, limits.block_gas, limits.block_weight, genesis.governance.expulsions)


@dataclass(frozen=True)
class Absence:
    """A member that has led no block of the present epoch so far."""

    id: bytes
    epochs: int
    missed: bool

    def encode(self) -> bytes:
        return codec.fixed(self.id, 32) + codec.u16(self.epochs) + codec.u8(self.missed)


def read_absence(reader: Reader) -> Absence:
    id, epochs, missed = reader.hash(), reader.u16(), reader.u8()
    if missed > 1:
        raise malformed(f"missed is {missed}")
    return Absence(id, epochs, missed == 1)


def absences_of_height_0(genesis: Genesis) -> tuple[Absence, ...]:
    if genesis.governance.absent_epochs == 0:
        return ()
    return tuple(Absence(id, 0, False) for id in sorted(member.id for member in genesis.members))


@dataclass(frozen=True)
class ClusterRecord:
    seq: int
    members: tuple[Member, ...]
    next: tuple[Member, ...]
    standby: tuple[Member, ...]
    owners: tuple[bytes, ...]
    threshold: int
    cap: int
    unasked: int
    verdicts: tuple[Verdict, ...]
    terms: Terms
    next_terms: Terms
    absences: tuple[Absence, ...]

    def encode(self) -> bytes:
        return (
            codec.u64(self.seq)
            + encode_members(self.members)
            + encode_members(self.next)
            + encode_members(self.standby)
            + codec.sequence(self.owners)
            + codec.u8(self.threshold)
            + codec.u8(self.cap)
            + codec.u8(self.unasked)
            + codec.sequence([verdict.encode() for verdict in self.verdicts])
            + self.terms.encode()
            + self.next_terms.encode()
            + codec.sequence([absence.encode() for absence in self.absences])
        )


def read_ascending_members(reader: Reader) -> tuple[Member, ...]:
    members = read_members(reader)
    if not ascend_by_key(members):
        raise malformed("members do not ascend strictly")
    return tuple(members)


def decode_cluster_record(data: bytes) -> ClusterRecord:
    def read(reader: Reader) -> ClusterRecord:
        record = ClusterRecord(
            seq=reader.u64(),
            members=read_ascending_members(reader),
            next=read_ascending_members(reader),
            standby=read_ascending_members(reader),
            owners=read_owners(reader),
            threshold=reader.u8(),
            cap=reader.u8(),
            unasked=reader.u8(),
            verdicts=tuple(reader.sequence(VERDICTS_MAX, lambda: read_verdict(reader))),
            terms=read_terms(reader),
            next_terms=read_terms(reader),
            absences=tuple(reader.sequence(MEMBERS_MAX, lambda: read_absence(reader))),
        )
        if not codec.ascends_strictly([verdict.key for verdict in record.verdicts]):
            raise malformed("verdicts do not ascend strictly")
        if not codec.ascends_strictly([absence.id for absence in record.absences]):
            raise malformed("absences do not ascend strictly")
        return record

    return codec.decode_whole(data, read, codec.VALUE_BYTES_MAX)


def cluster_record_of_height_0(genesis: Genesis) -> ClusterRecord:
    return ClusterRecord(
        seq=0,
        members=genesis.members,
        next=genesis.members,
        standby=(),
        owners=genesis.governance.owners,
        threshold=genesis.governance.threshold,
        cap=min(faults_tolerated(len(genesis.members)), genesis.replicas - 1, genesis.governance.expulsions),
        unasked=0,
        verdicts=(),
        terms=terms_of_height_0(genesis),
        next_terms=terms_of_height_0(genesis),
        absences=absences_of_height_0(genesis),
    )


# Height 0


def tree_of_height_0(genesis: Genesis) -> proofs.Node:
    """The records of genesis, and `.cluster`."""
    records = [(key.encode("utf-8"), value) for key, value in genesis.records]
    records.append((keys.CLUSTER.encode("utf-8"), cluster_record_of_height_0(genesis).encode()))
    return proofs.tree(records)


def result_of_height_0(genesis: Genesis) -> blocks.Result:
    return blocks.result_of_height_0(tree_of_height_0(genesis).label, members_digest(genesis.members))
