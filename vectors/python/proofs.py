#!/usr/bin/env python3
"""A verifier of proofs, written from docs/proof-format.md alone, and run over the test vectors beside this file.

    pip install blake3
    python3 verify.py [proofs.json]
"""
import json
import pathlib
import sys

from blake3 import blake3

EMPTY, LEAF, STUB, INTERNAL = range(4)
BITS = 256


class Refused(Exception):
    """Carries the reason by its name in the description of the format."""


def digest(data):
    return blake3(data).digest()


def bit(path, depth):
    return path[depth // 8] >> (7 - depth % 8) & 1


def leaf_label(path, value_digest):
    label = digest(path + value_digest)
    return bytes([label[0] | 0x80]) + label[1:]


def internal_label(left, right):
    label = digest(left + right)
    return bytes([label[0] & 0x7F]) + label[1:]


def root_of(records, depth=0):
    """The root of a whole map, from its list of (path, value digest)."""
    if not records:
        return bytes(32)
    if len(records) == 1:
        return leaf_label(*records[0])
    sides = [[record for record in records if bit(record[0], depth) == side] for side in (0, 1)]
    return internal_label(root_of(sides[0], depth + 1), root_of(sides[1], depth + 1))


def read_tags(data):
    """The tag and the depth of every node, by its number."""
    tags, depths, announced = [], [0], 1
    while len(tags) < announced:
        number = len(tags)
        if number // 4 >= len(data):
            raise Refused('truncated_tags')
        tag = data[number // 4] >> (6 - 2 * (number % 4)) & 3
        if depths[number] == BITS and tag in (STUB, INTERNAL):
            raise Refused('too_deep')
        tags.append(tag)
        if tag == INTERNAL:
            announced += 2
            depths += [depths[number] + 1] * 2
        if number > 0 and number % 2 == 0:
            pair = {tags[number - 1], tag}
            if pair == {EMPTY}:
                raise Refused('empty_siblings')
            if pair == {EMPTY, LEAF}:
                raise Refused('lone_leaf')
            if pair == {STUB}:
                raise Refused('stub_siblings')
    return tags


def decode(data):
    """The nodes by their numbers, each as (tag, payload, number of the first child)."""
    tags = read_tags(data)
    tag_bytes = -(-len(tags) // 4)
    expected = tag_bytes + 64 * tags.count(LEAF) + 32 * tags.count(STUB)
    if len(data) < expected:
        raise Refused('truncated_payload')
    if len(data) > expected:
        raise Refused('trailing_bytes')
    unused = 2 * (4 * tag_bytes - len(tags))
    if data[tag_bytes - 1] & ((1 << unused) - 1):
        raise Refused('padding')
    nodes, at, internals = [], tag_bytes, 0
    for tag in tags:
        size = {LEAF: 64, STUB: 32}.get(tag, 0)
        nodes.append((tag, data[at:at + size], 1 + 2 * internals))
        at += size
        internals += tag == INTERNAL
    check_payloads(nodes)
    return nodes


def check_payloads(nodes):
    positions = [''] + [None] * (len(nodes) - 1)
    for number, (tag, payload, child) in enumerate(nodes):
        if tag == INTERNAL:
            positions[child], positions[child + 1] = positions[number] + '0', positions[number] + '1'
        elif tag == LEAF:
            if any(bit(payload, depth) != int(side) for depth, side in enumerate(positions[number])):
                raise Refused('misplaced_leaf')
        elif tag == STUB:
            if payload == bytes(32):
                raise Refused('empty_stub')
            if payload[0] & 0x80:
                raise Refused('leaf_stub')


def root(nodes):
    labels = [None] * len(nodes)
    for number in reversed(range(len(nodes))):
        tag, payload, child = nodes[number]
        if tag == EMPTY:
            labels[number] = bytes(32)
        elif tag == LEAF:
            labels[number] = leaf_label(payload[:32], payload[32:])
        elif tag == STUB:
            labels[number] = payload
        else:
            labels[number] = internal_label(labels[child], labels[child + 1])
    return labels[0]


def verify(data, expected_root):
    nodes = decode(data)
    if root(nodes) != expected_root:
        raise Refused('other_root')
    return nodes


def look_up(nodes, key):
    """'present' with the value digest, 'absent', or 'undecided'."""
    path, number, depth = digest(key), 0, 0
    while nodes[number][0] == INTERNAL:
        number = nodes[number][2] + bit(path, depth)
        depth += 1
    tag, payload, _ = nodes[number]
    if tag == STUB:
        return 'undecided', None
    if tag == LEAF and payload[:32] == path:
        return 'present', payload[32:].hex()
    return 'absent', None


def run(vectors):
    for case in vectors['accepted']:
        name, expected = case['name'], bytes.fromhex(case['root'])
        records = [tuple(digest(bytes.fromhex(text)) for text in record) for record in case['records']]
        if len(records) == case['record_count']:
            assert root_of(records) == expected, f'{name}: root of the records'
        nodes = verify(bytes.fromhex(case['proof']), expected)
        for answer in case['answers']:
            says = look_up(nodes, bytes.fromhex(answer['key']))
            assert says == (answer['says'], answer.get('value_digest')), f'{name}: {answer}, not {says}'
    for case in vectors['refused']:
        try:
            verify(bytes.fromhex(case['proof']), bytes.fromhex(case['root']))
        except Refused as refused:
            assert str(refused) == case['reason'], f"{case['name']}: {refused}, not {case['reason']}"
        else:
            raise AssertionError(f"{case['name']} was accepted")
    print(f"{len(vectors['accepted'])} accepted, {len(vectors['refused'])} refused, each for its reason")


if __name__ == '__main__':
    beside = pathlib.Path(__file__).with_name('proofs.json')
    run(json.loads(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else beside).read_text()))
