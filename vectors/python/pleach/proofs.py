"""Trees, their proofs, and what can be done with proofs (proof-format.md).

A proof is kept as nodes that point to their children. Nothing here recurses: each walk keeps its own list of
what it has still to visit, since a proof can be 256 levels deep.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Iterator, Optional, Sequence

from .codec import Refused
from .hashes import ZEROS, plain_hash

DEPTH_MAX = 256

# Encoding: the tags.
EMPTY, LEAF, STUB, INTERNAL = 0b00, 0b01, 0b10, 0b11
PAYLOAD_BYTES = {EMPTY: 0, LEAF: 64, STUB: 32, INTERNAL: 0}


@dataclass(frozen=True)
class Limits:
    """Limits: what a reader accepts."""

    bytes: int
    nodes: int
    leaves: int


REQUEST_LIMITS = Limits(1_048_576, 139_265, 16_384)
ANSWER_LIMITS = Limits(4_194_304, 524_289, 65_536)
ABSENCE_LIMITS = Limits(32_768, 513, 512)
DEFAULT_LIMITS = Limits(1_048_576, 262_144, 16_384)
TRANSFER_LIMITS = Limits(8_388_608, 1_048_576, 131_072)


@dataclass(eq=False)
class Node:
    """One node. `zero` and `one` are there for internal nodes, `path` and `value_digest` for leaves."""

    kind: int = EMPTY
    label: bytes = ZEROS
    path: bytes = b""
    value_digest: bytes = b""
    zero: Optional[Node] = field(default=None, repr=False)
    one: Optional[Node] = field(default=None, repr=False)

    def children(self) -> tuple[Node, Node]:
        assert self.zero is not None and self.one is not None
        return self.zero, self.one

    def child(self, bit: str) -> Node:
        zero, one = self.children()
        return one if bit == "1" else zero

    def become(self, other: Node) -> None:
        """Take over all that another node shows."""
        self.kind, self.label, self.path, self.value_digest = other.kind, other.label, other.path, other.value_digest
        self.zero, self.one = other.zero, other.one


def bits_of(path: bytes) -> str:
    """The bits of a path as text, bit 0 first. Prefixes are such texts of 0 to 256 bits."""
    return format(int.from_bytes(path, "big"), "0256b")


def path_of_bits(bits: str) -> bytes:
    """The least path that starts with these bits."""
    return int(bits.ljust(DEPTH_MAX, "0"), 2).to_bytes(32, "big")


# The tree


def leaf_label(path: bytes, value_digest: bytes) -> bytes:
    label = plain_hash(path + value_digest)
    return bytes([label[0] | 0x80]) + label[1:]


def internal_label(zero: bytes, one: bytes) -> bytes:
    label = plain_hash(zero + one)
    return bytes([label[0] & 0x7F]) + label[1:]


def walk(root: Node) -> list[Node]:
    """All nodes in the order of Encoding: level by level, each from the 0 side to the 1 side."""
    nodes = [root]
    for node in nodes:  # the list grows while it is walked
        if node.kind == INTERNAL:
            nodes.extend(node.children())
    return nodes


def compute_labels(nodes: Sequence[Node]) -> None:
    """Computing the root: from the deepest level up. `nodes` are in the order of `walk`."""
    for node in reversed(nodes):
        if node.kind == LEAF:
            node.label = leaf_label(node.path, node.value_digest)
        elif node.kind == INTERNAL:
            zero, one = node.children()
            node.label = internal_label(zero.label, one.label)


def tree(records: Iterable[tuple[bytes, bytes]]) -> Node:
    """The whole tree of (key, value), which is also the proof of the prefix of 0 bits."""
    return tree_of_leaves([(plain_hash(key), plain_hash(value)) for key, value in records])


def tree_of_leaves(leaves: list[tuple[bytes, bytes]]) -> Node:
    """The whole tree of (path, value digest)."""
    if len({path for path, _ in leaves}) != len(leaves):
        raise ValueError("a key twice")
    root = Node()
    waiting = [(root, 0, leaves)]
    while waiting:
        node, depth, below = waiting.pop()
        if len(below) == 1:
            node.kind = LEAF
            node.path, node.value_digest = below[0]
        elif below:
            node.kind, node.zero, node.one = INTERNAL, Node(), Node()
            sides: dict[str, list[tuple[bytes, bytes]]] = {"0": [], "1": []}
            for leaf in below:
                sides[bits_of(leaf[0])[depth]].append(leaf)
            waiting += [(node.zero, depth + 1, sides["0"]), (node.one, depth + 1, sides["1"])]
    compute_labels(walk(root))
    return root


# Encoding


def encode(root: Node) -> bytes:
    nodes = walk(root)
    tags = bytearray((len(nodes) + 3) // 4)
    payloads = []
    for number, node in enumerate(nodes):
        tags[number // 4] |= node.kind << (6 - 2 * (number % 4))
        if node.kind == LEAF:
            payloads.append(node.path + node.value_digest)
        elif node.kind == STUB:
            payloads.append(node.label)
    return bytes(tags) + b"".join(payloads)


def check_pair(first: int, second: int) -> None:
    """What a verifier must refuse: siblings that no tree has, or no proof shows."""
    if first == EMPTY and second == EMPTY:
        raise Refused("empty_siblings")
    if {first, second} == {EMPTY, LEAF}:
        raise Refused("lone_leaf")
    if first == STUB and second == STUB:
        raise Refused("stub_siblings")


def read_tags(data: bytes, limits: Limits) -> tuple[list[Node], list[int], list[int]]:
    """Step 2 of What a verifier must refuse: all tags in their order.

    Gives the nodes, and the depth and the position of each: the bits from the root to it, read as a number.
    """
    nodes = [Node()]
    depths = [0]
    positions = [0]
    leaves = 0
    for number, node in enumerate(nodes):  # the list grows while it is walked
        if number // 4 >= len(data):
            raise Refused("truncated_tags")
        node.kind = data[number // 4] >> (6 - 2 * (number % 4)) & 0b11
        if node.kind in (INTERNAL, STUB) and depths[number] >= DEPTH_MAX:
            raise Refused("too_deep")
        if node.kind == INTERNAL:
            if len(nodes) + 2 > limits.nodes:
                raise Refused("too_many_nodes")
            node.zero, node.one = Node(), Node()
            nodes += [node.zero, node.one]
            depths += [depths[number] + 1] * 2
            positions += [2 * positions[number], 2 * positions[number] + 1]
        elif node.kind == LEAF:
            leaves += 1
            if leaves > limits.leaves:
                raise Refused("too_many_leaves")
        if number > 0 and number % 2 == 0:
            check_pair(nodes[number - 1].kind, node.kind)
    return nodes, depths, positions


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Node:
    """The root of the proof that these bytes are. What a verifier must refuse: steps 1 to 5, in their order."""
    if len(data) > limits.bytes:
        raise Refused("too_long")
    nodes, depths, positions = read_tags(data, limits)
    at = (len(nodes) + 3) // 4
    announced = at + sum(PAYLOAD_BYTES[node.kind] for node in nodes)
    if len(data) < announced:
        raise Refused("truncated_payload")
    if len(data) > announced:
        raise Refused("trailing_bytes")
    padding_bits = 2 * (4 * at - len(nodes))
    if data[at - 1] & ((1 << padding_bits) - 1):
        raise Refused("padding")
    for node, depth, position in zip(nodes, depths, positions):
        payload = data[at : at + PAYLOAD_BYTES[node.kind]]
        at += len(payload)
        if node.kind == LEAF:
            node.path, node.value_digest = payload[:32], payload[32:]
            if int.from_bytes(node.path, "big") >> (DEPTH_MAX - depth) != position:
                raise Refused("misplaced_leaf")
        elif node.kind == STUB:
            node.label = payload
            if node.label == ZEROS:
                raise Refused("empty_stub")
            if node.label[0] & 0x80:
                raise Refused("leaf_stub")
    compute_labels(nodes)
    return nodes[0]


def verify(data: bytes, root: bytes, limits: Limits = DEFAULT_LIMITS) -> Node:
    """Decodes a proof and holds it against the trusted root: step 6."""
    proof = decode(data, limits)
    if proof.label != root:
        raise Refused("other_root")
    return proof


def count_nodes(proof: Node) -> int:
    return len(walk(proof))


# Proofs: to look a key up


ABSENT, PRESENT, UNDECIDED = "absent", "present", "undecided"


def look_up(proof: Node, path: bytes) -> tuple[str, Optional[bytes]]:
    """What a proof says of a path, and the value digest if it is present."""
    node = proof
    for bit in bits_of(path):
        if node.kind != INTERNAL:
            break
        node = node.child(bit)
    if node.kind == STUB:
        return UNDECIDED, None
    if node.kind == LEAF and node.path == path:
        return PRESENT, node.value_digest
    return ABSENT, None


def check_value(proof: Node, key: bytes, value: Optional[bytes]) -> None:
    """Whether a verified proof shows this value at the key, or none for None."""
    says, digest = look_up(proof, plain_hash(key))
    if says == UNDECIDED:
        raise Refused("not_decided")
    if digest != (None if value is None else plain_hash(value)):
        raise Refused("other_value")


# Cutting and merging


def is_minimal(proof: Node, paths: Sequence[bytes]) -> bool:
    """Whether a proof is minimal for the paths."""
    marked: set[int] = set()
    for path in paths:
        node = proof
        for bit in bits_of(path):
            if node.kind != INTERNAL:
                break
            marked.add(id(node))
            node = node.child(bit)
        if node.kind == STUB:
            return False
    return len(marked) == sum(node.kind == INTERNAL for node in walk(proof))


def cut(proof: Node, paths: Iterable[bytes], prefixes: Iterable[str] = ()) -> Node:
    """Cut to a set of paths; with prefixes (Prefixes) it also shows everything that those cover.

    Cut from a whole tree, the result is the proof of these paths and prefixes.
    """
    result = Node()
    waiting = [(proof, result, 0, [bits_of(path) for path in paths], list(prefixes))]
    while waiting:
        source, target, depth, wanted, whole = waiting.pop()
        if source.kind == STUB and (wanted or whole):
            raise Refused("not_decided")
        if source.kind != INTERNAL:
            target.become(source)
        elif not wanted and not whole:
            target.kind, target.label = STUB, source.label
        else:
            target.kind, target.label, target.zero, target.one = INTERNAL, source.label, Node(), Node()
            for bit, child in (("0", target.zero), ("1", target.one)):
                waiting.append(
                    (
                        source.child(bit),
                        child,
                        depth + 1,
                        [bits for bits in wanted if bits[depth] == bit],
                        # Where a prefix' bits have ended it covers both sides.
                        [prefix for prefix in whole if len(prefix) <= depth or prefix[depth] == bit],
                    )
                )
    return result


def merge(left: Node, right: Node) -> Node:
    """Merge two proofs of the same root."""
    if left.label != right.label:
        raise Refused("other_root", "proofs of different roots")
    result = Node()
    waiting = [(left, right, result)]
    while waiting:
        a, b, target = waiting.pop()
        if a.kind == STUB and b.kind == INTERNAL:
            target.become(b)
        elif a.kind == INTERNAL and b.kind == INTERNAL:
            target.kind, target.label, target.zero, target.one = INTERNAL, a.label, Node(), Node()
            waiting.append((a.child("0"), b.child("0"), target.zero))
            waiting.append((a.child("1"), b.child("1"), target.one))
        else:
            target.become(a)
    return result


def extend(proof: Node, other: Node, path: bytes) -> Node:
    """Extend a proof by what a proof of another root shows of one path."""
    found = look_up(other, path)
    if found[0] == UNDECIDED:
        raise Refused("undecided")
    if look_up(proof, path)[0] != UNDECIDED:
        if look_up(proof, path) != found:
            raise Refused("different")
        return proof
    result = Node()
    a, b, target = proof, other, result
    for bit in bits_of(path):
        if a.kind != INTERNAL or b.kind != INTERNAL:
            break
        # Copy the way to the stub; what stands beside it is shared.
        target.become(a)
        next_target = Node()
        if bit == "1":
            target.one = next_target
        else:
            target.zero = next_target
        a, b, target = a.child(bit), b.child(bit), next_target
    if not (a.kind == STUB and b.kind == INTERNAL and a.label == b.label):
        raise Refused("no_such_node")
    target.become(b)
    return result


# Prefixes


def leaves_of_prefix(proof: Node, prefix: str) -> list[Node]:
    """The leaves that a prefix covers, in ascending order of their paths. Refused if the proof is not complete."""
    node = proof
    for bit in prefix:
        if node.kind != INTERNAL:
            break
        node = node.child(bit)
    leaves = []
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node.kind == STUB:
            raise Refused("incomplete")
        if node.kind == LEAF and bits_of(node.path).startswith(prefix):
            leaves.append(node)
        elif node.kind == INTERNAL:
            zero, one = node.children()
            waiting += [one, zero]
    return leaves


def check_records_of_prefix(proof: Node, prefix: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    """Whether (key, value) are all records of the prefix, in ascending order of their paths."""
    leaves = leaves_of_prefix(proof, prefix)
    for number, (key, value) in enumerate(records):
        if number >= len(leaves):
            raise Refused("other_record", "more than there are")
        if (leaves[number].path, leaves[number].value_digest) != (plain_hash(key), plain_hash(value)):
            raise Refused("other_record", f"record {number}")
    if len(records) < len(leaves):
        raise Refused("left_out")


# Chunks


def chunk(whole: Node, within: str, start: bytes, max_bytes: int) -> Optional[tuple[str, Node]]:
    """The chunk of a partition that begins at a path: its prefix and its proof, or none."""
    bits = bits_of(start)
    for length in range(len(within), DEPTH_MAX + 1):
        prefix = bits[:length]
        if "1" in bits[length:]:
            continue
        proof = cut(whole, [], [prefix])
        if len(encode(proof)) <= max_bytes:
            return (prefix, proof) if prefix.startswith(within) else None
    return None


def next_start(within: str, prefix: str) -> Optional[bytes]:
    """Where the next chunk begins, or none where the partition ends."""
    number = int(prefix or "0", 2) + 1
    if number >> len(prefix):
        return None  # the bits were all ones
    bits = format(number, f"0{len(prefix)}b")
    return path_of_bits(bits) if bits.startswith(within) else None


def chunks(whole: Node, within: str, max_bytes: int) -> Iterator[tuple[str, bytes, Node]]:
    """All chunks of a partition: prefix, start and proof of each."""
    start: Optional[bytes] = path_of_bits(within)
    while start is not None:
        found = chunk(whole, within, start, max_bytes)
        if found is None:
            raise Refused("max_bytes", "the way to a path is longer")
        yield found[0], start, found[1]
        start = next_start(within, found[0])


def check_chunk(proof: Node, within: str, start: bytes, prefix: str) -> list[Node]:
    """What a receiver checks; gives the leaves. The proof is verified already."""
    if not prefix.startswith(within):
        raise Refused("outside")
    if start != path_of_bits(prefix):
        raise Refused("start")
    return leaves_of_prefix(proof, prefix)
