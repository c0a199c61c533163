"""The history of results (protocol.md, History)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from . import codec, hashes
from .codec import Reader, Refused
from .hashes import ZEROS


def leaf(encoded_result: bytes) -> bytes:
    return hashes.hash(hashes.HISTORY_LEAF, encoded_result)


def node(left: bytes, right: bytes) -> bytes:
    return hashes.hash(hashes.HISTORY_NODE, left + right)


@dataclass(frozen=True)
class Peaks:
    size: int
    hashes: tuple[bytes, ...]

    def encode(self) -> bytes:
        return codec.u64(self.size) + b"".join(self.hashes)

    def root(self) -> bytes:
        if not self.hashes:
            return ZEROS
        found = self.hashes[-1]
        for peak in reversed(self.hashes[:-1]):
            found = node(peak, found)
        return found

    def append(self, new_leaf: bytes) -> Peaks:
        peaks = list(self.hashes)
        ones = self.size
        while ones & 1:
            new_leaf = node(peaks.pop(), new_leaf)
            ones >>= 1
        return Peaks(self.size + 1, (*peaks, new_leaf))


NO_PEAKS = Peaks(0, ())


def decode_peaks(data: bytes) -> Peaks:
    def read(reader: Reader) -> Peaks:
        size = reader.u64()
        return Peaks(size, tuple(reader.hash() for _ in range(bin(size).count("1"))))

    return codec.decode_whole(data, read)


def peaks_of(leaves: Sequence[bytes]) -> Peaks:
    peaks = NO_PEAKS
    for each in leaves:
        peaks = peaks.append(each)
    return peaks


def root_of(leaves: Sequence[bytes]) -> bytes:
    return peaks_of(leaves).root()


def root_by_definition(leaves: Sequence[bytes]) -> bytes:
    """The table "root of n leaves", as it stands there. It calls itself: for few leaves of one's own, not for input."""
    if not leaves:
        return ZEROS
    if len(leaves) == 1:
        return leaves[0]
    split = largest_power_of_two_below(len(leaves))
    return node(root_by_definition(leaves[:split]), root_by_definition(leaves[split:]))


def largest_power_of_two_below(number: int) -> int:
    return 1 << ((number - 1).bit_length() - 1)


def check_inclusion(leaf_hash: bytes, height: int, size: int, root: bytes, siblings: Sequence[bytes]) -> None:
    """Inclusion. The page's algorithm says true or false; the reasons are named after where it says false."""
    if height >= size:
        raise Refused("height")
    at, last, found = height, size - 1, leaf_hash
    for sibling in siblings:
        if last == 0:
            raise Refused("length")
        if at & 1 or at == last:
            found = node(sibling, found)
            while at & 1 == 0:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise Refused("length")
    if found != root:
        raise Refused("other_root")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Consistency, with reasons named as for an inclusion."""
    if old > new:
        raise Refused("sizes")
    if old in (0, new):
        if proof:
            raise Refused("length")
        if old_root != (ZEROS if old == 0 else new_root):
            raise Refused("other_root")
        return
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    is_power_of_two = old & (old - 1) == 0
    steps = [old_root, *proof] if is_power_of_two else list(proof)
    if not steps:
        raise Refused("length")
    a = b = steps[0]
    for each in steps[1:]:
        if last == 0:
            raise Refused("length")
        if at & 1 or at == last:
            a, b = node(each, a), node(each, b)
            while at & 1 == 0:
                at, last = at >> 1, last >> 1
        else:
            b = node(b, each)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise Refused("length")
    if a != old_root or b != new_root:
        raise Refused("other_root")


def prove_inclusion(leaves: Sequence[bytes], height: int) -> list[bytes]:
    """Making them: the siblings of the leaf of `height` among all these leaves."""
    begin, end = 0, len(leaves)
    notes = []
    while end - begin > 1:
        split = begin + largest_power_of_two_below(end - begin)
        if height < split:
            notes.append(root_of(leaves[split:end]))
            end = split
        else:
            notes.append(root_of(leaves[begin:split]))
            begin = split
    return notes[::-1]


def prove_consistency(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Making them: that all these leaves begin with the first `old` of them."""
    if old == 0:
        return []
    begin, end = 0, len(leaves)
    notes = []
    while end != old:
        split = begin + largest_power_of_two_below(end - begin)
        if old - 1 < split:
            notes.append(root_of(leaves[split:end]))
            end = split
        else:
            notes.append(root_of(leaves[begin:split]))
            begin = split
    if begin != 0:
        notes.append(root_of(leaves[begin:end]))
    return notes[::-1]
