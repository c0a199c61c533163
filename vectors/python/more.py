"""Checks beside the vectors: the examples of the pages, and inputs of this program's own that must be refused."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, Callable, Iterator

from pleach import (
    blocks,
    certificates,
    codec,
    evidence,
    genesis,
    hashes,
    history,
    keys,
    members,
    partition,
    proofs,
    receipts,
    requests,
    signatures,
    system,
)
from pleach.codec import Refused
from report import Mismatch, Report, must_be_refused, same, verdict_of

Documents = dict[str, Any]


# The examples of the pages


def check_examples(documents: Documents, report: Report) -> None:
    sample = sample_genesis()
    report.case("proof-format.md, Example", example_of_a_proof)
    report.case("protocol.md, Hashes: a tag", example_of_a_tag)
    report.case("protocol.md, Example: genesis", lambda: example_of_genesis(sample))
    report.case("protocol.md, Example: keepers", lambda: example_of_keepers(sample))
    report.case("protocol.md, Example: a request", lambda: example_of_a_request(sample))
    report.case("protocol.md, Example: a result and its history", lambda: example_of_a_result(sample))
    report.case("protocol.md, Example: votes", lambda: example_of_votes(sample))
    report.case("protocol.md, Example: receipts", example_of_receipts)
    report.case("protocol.md, Arguments of operations", example_of_arguments)
    report.case("limits.md: the defaults keep the rules", lambda: genesis.check_genesis(sample))


def hex_of(text: str) -> bytes:
    """The pages' hexadecimal, with spaces and lines."""
    return bytes.fromhex("".join(text.split()))


def example_of_a_proof() -> None:
    names = [b"erin", b"dave", b"alice", b"carol", b"bob"]
    whole = proofs.tree([(name, b"1") for name in names])
    root = hex_of("3cb270c8578602d5e6a91fc3d8c205d3727cb73fc7be8b0ea8573512dee1b417")
    same("root", root, whole.label)
    proof = hex_of(
        """fd94
        28be3042b8f51045295681e9e6ec1145b5b9ebc0d137b290aecfbf238ee7c5f1
        d63bd9a826af91c1fea371965a64e11ee20f13e46b5f52c59901136605b3a487
        0b7792b07646439fa0420bfaa0cdcd2c6ae1bada35eeaf352e187c6cc8c2378d
        aa9d603439c50c73783d66b2725e26ced4311e8d1f18e840dc3c13f360092545
        d63bd9a826af91c1fea371965a64e11ee20f13e46b5f52c59901136605b3a487
        e476f1b379438de7a1acfd567a94a8c53f08b9714042f7f17e5791645afc3176
        d63bd9a826af91c1fea371965a64e11ee20f13e46b5f52c59901136605b3a487"""
    )
    paths = [hashes.plain_hash(name) for name in (b"bob", b"zoe")]
    same("proof", proof, proofs.encode(proofs.cut(whole, paths)))
    verified = proofs.verify(proof, root)
    same("bob", proofs.PRESENT, proofs.look_up(verified, paths[0])[0])
    same("zoe", proofs.ABSENT, proofs.look_up(verified, paths[1])[0])


def example_of_a_tag() -> None:
    same("tag", hex_of("706c656163682f312f67656e657369732020202020202020"), hashes.tag(hashes.GENESIS))


def seed(number: int) -> bytes:
    return bytes([number]) * 32


def sample_genesis() -> genesis.Genesis:
    sample_keys = [signatures.key_of_seed(seed(number)) for number in (2, 1, 4, 3)]
    return genesis.Genesis(
        name="sample",
        salt=bytes(16),
        members=tuple(
            members.Member(key, key, f"node-{place + 1}", 1, "") for place, key in enumerate(sample_keys)
        ),
        window=64,
        bits=3,
        replicas=2,
        governance=genesis.Governance(1_024, 128, 255, 0, (), 0, 0),
        # limits.md: the column "default".
        limits=genesis.Limits(
            gas=30_000_000,
            cost_table=1,
            module_bytes=256 * 1024,
            warm_code_bytes=4 * 1024 * 1024,
            value_bytes=1024 * 1024,
            record_bytes=2 * 1024 * 1024,
            touched=256,
            argument_bytes=256 * 1024,
            calls_max=1,
            request_bytes=3 * 1024 * 1024,
            block_requests=1_000,
            block_bytes=4 * 1024 * 1024,
            block_gas=40_000_000,
            block_weight=60_000_000,
        ),
        records=((".base_rule", b"base"), (".root_rule", b"\x00asm"), ("empty", b"")),
    )


def example_of_genesis(sample: genesis.Genesis) -> None:
    table = [
        "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
        "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c",
        "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1",
    ]
    same("keys", table, [member.key.hex() for member in sample.members])
    same("member 0", 83, len(sample.members[0].encode()))
    same("governance", hex_of("00040000 8000 ff 0000 00000000 00 00"), sample.governance.encode())
    limits = hex_of(
        """80c3c90100000000 01000000 00000400 00004000 00001000 00002000 00010000 00000400 01000000 00003000 e8030000
        00004000 005a620200000000 0087930300000000"""
    )
    same("limits", limits, sample.limits.encode())
    data = sample.encode()
    same("length", 517, len(data))
    same("decoded", sample, genesis.decode_genesis(data))
    digest = hex_of("0ca0554a279269a7bc373013564e2e2ec964d4fff2d30cb3b4bf1912b5d7f2e8")
    same("digest", digest, sample.digest())
    members_digest = hex_of("1e94ea2c35021677e59743939d2c01503f6b98ba40ce729f114f8c4066d6cbb8")
    same("members' digest", members_digest, members.members_digest(sample.members))
    root = hex_of("1115be1559aa35f9d661f4700a940e8a3a37a7f9cc64271ab2fda2bba06e556e")
    same("root", root, genesis.tree_of_height_0(sample).label)
    cluster = genesis.cluster_record_of_height_0(sample)
    same(".cluster", (757, 1), (len(cluster.encode()), cluster.cap))
    block = hex_of("578423b72ac7955e365087ba749558c533e1e1d99fb89b9cd2048c2f227ef510")
    same("block 0", block, blocks.block_of_height_0(digest).header.digest())


def example_of_keepers(sample: genesis.Genesis) -> None:
    expected = [[1, 0], [3, 0], [0, 2], [0, 1], [1, 3], [1, 0], [1, 2], [1, 3]]
    same("keepers", expected, [partition.keepers(sample.members, 3, prefix, 2) for prefix in range(8)])
    drawn = [partition.draw(3, 0, member.id) for member in sample.members]
    same("draws", ["d0af9dcd067e2dc7", "d5487c6485c801e5", "4ddce7b962181a0e", "cfd7ff253573a239"],
         [format(each, "x") for each in drawn])  # fmt: skip
    same("costs", [1266199226, 1131181988, 7375041355, 1291258446], [partition.cost(each) for each in drawn])
    same("the least cost", 0, partition.cost(2**64 - 1))
    same("the greatest cost", 2**38, partition.cost(0))


def example_of_a_request(sample: genesis.Genesis) -> None:
    body = requests.Body(
        genesis=sample.digest(),
        calls=(requests.Call("bank/transfer", b"\x01\x02\x03"),),
        gas=0x0A0B0C0D,
        touched=("bank/alice", "bank/bob", "bank/\u00fcmlaut"),
        base=0x0102030405060708,
        nonce=b"sixteen bytes ok",
        signers=(sample.members[0].key, sample.members[1].key),
    )
    expected = hex_of(
        """0ca0554a279269a7bc373013564e2e2ec964d4fff2d30cb3b4bf1912b5d7f2e8
        01000000 0d000000 62616e6b2f7472616e73666572 03000000 010203 0d0c0b0a00000000
        03000000 0a000000 62616e6b2f616c696365 08000000 62616e6b2f626f62 0c000000 62616e6b2fc3bc6d6c617574
        0807060504030201 7369787465656e206279746573206f6b
        02000000 8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394
        8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"""
    )
    same("body", expected, body.encode())
    same("length", 206, len(expected))
    identity = hex_of("71380b3a0e04c01c968ddab814bc9f95a4d757973d732f959478c8cc97191c3e")
    same("identity", identity, body.identity())
    signed = hex_of("706c656163682f312f726571756573742d7369676e202020") + identity
    same("signed", signed, signatures.request_message(identity))


def example_result(height: int, sample: genesis.Genesis) -> blocks.Result:
    fields = [bytes([number]) * 32 for number in range(1, 6)]
    digest = members.members_digest(sample.members)
    return blocks.Result(height, *fields, digest, digest)


def example_of_a_result(sample: genesis.Genesis) -> None:
    data = example_result(4, sample).encode()
    leaf = hex_of("c2ff6c89c56880bd875415897a7f9eba8b99ca24a2dce5ae2cf7d817965ac472")
    same("leaf", leaf, history.leaf(data))
    message = hex_of(
        """706c656163682f312f726573756c742d7369676e20202020
        9f433ae27e5751b1c3550db2b39b594478071f2b3fddba61547aea891c126221"""
    )
    same("a node signs", message, signatures.result_message(sample.digest(), data))
    leaves = [history.leaf(example_result(height, sample).encode()) for height in range(3)]
    roots = [
        hex_of("22b2027560b1cb9daa2f1ee51f9bc5c9f7e0b48fb73ca128612571815bea087f"),
        hex_of("2a3199e3166a5e58ca8315c9f8a77ee22b66c6bd716243781034f32a7c7f14c8"),
    ]
    same("roots of the history", roots, [history.root_of(leaves[:2]), history.root_of(leaves)])


def example_of_votes(sample: genesis.Genesis) -> None:
    round, block = certificates.Round(0, 301), b"\x01" * 32
    digest = sample.digest().hex()
    finalize = hex_of(f"38 706c656163682f312f6f726465722f {digest} 5f46494e414c495a45 00 ad02 ac02 {block.hex()}")
    same("finalize", finalize, certificates.vote_message(certificates.FINALIZE, sample.digest(), round, 300, block))
    nullify = hex_of(f"37 706c656163682f312f6f726465722f {digest} 5f4e554c4c494659 00 ad02")
    same("nullify", nullify, certificates.vote_message(certificates.NULLIFY, sample.digest(), round, None, None))


def example_of_receipts() -> None:
    identity = b"\x09" * 32
    both_begin = hex_of(f"{identity.hex()} 4d00000000000000 03000000 3930000000000000")
    events = (receipts.Event(b"transfer", b"alice bob 5"), receipts.Event(b"", b""))
    applied = receipts.Receipt(
        identity, 77, 3, 12_345, receipts.Applied((receipts.CallResult(b"ok", events), receipts.CallResult(b"", ())))
    )
    expected = both_begin + hex_of(
        """00 02000000 02000000 6f6b 02000000 08000000 7472616e73666572 0b000000 616c69636520626f622035
        00000000 00000000 00000000 00000000"""
    )
    same("applied", expected, applied.encode())
    refusal = receipts.Refusal(0, ("bank/alice",))
    refused = receipts.Receipt(identity, 77, 3, 12_345, receipts.NotApplied(None, refusal))
    expected = both_begin + hex_of("01 00 00 0a000000 62616e6b2f616c696365")
    same("refused", expected, refused.encode())
    root = hex_of("89fc7f73ff5c56c45ea19db06f2e8357971f86160cc31c96fd45e3d11bdd6c7b")
    same("receipts root", root, receipts.tree_of_receipts([applied.encode()]).label)


def example_of_arguments() -> None:
    expected = hex_of("05000000 616c696365 03000000 626f62 3200000000000000")
    same("transfer", expected, codec.text("alice") + codec.text("bob") + codec.u64(50))


# ZIP-215


def check_zip215(documents: Documents, report: Report) -> None:
    report.case("signatures of the vectors, without the stricter library", lambda: honest_signatures(documents))
    report.case("points of small order, in all their encodings", small_order)
    report.case("s has to be less than L", lambda: s_too_large(documents))
    report.case("a key that is no point", no_point)


def honest_signatures(documents: Documents) -> None:
    for vote in documents["certificates.json"]["votes"]:
        key, message, signature = (bytes.fromhex(vote[name]) for name in ("voter", "signed_bytes", "signature"))
        same("holds", True, signatures.holds_by_zip215(key, message, signature))
        same("of another message", False, signatures.holds_by_zip215(key, message + b"\x00", signature))


def encode_point(point: signatures.Point) -> bytes:
    inverse = pow(point[2], -1, signatures.P)
    x, y = point[0] * inverse % signatures.P, point[1] * inverse % signatures.P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def small_order_encodings() -> list[bytes]:
    """The eight points whose order divides 8, and the encodings of them that are not reduced."""
    encodings: set[bytes] = set()
    y = 2
    while len(encodings) < 8:
        point = signatures.decode_point(y.to_bytes(32, "little"))
        y += 1
        if point is not None:
            torsion = signatures.multiply(signatures.L, point)
            for number in range(8):
                encodings.add(encode_point(signatures.multiply(number, torsion)))
    reduced = set(encodings)
    for data in reduced:
        number = int.from_bytes(data, "little")
        sign, y = number >> 255, number & (2**255 - 1)
        if y + signatures.P < 2**255:
            encodings.add((y + signatures.P | sign << 255).to_bytes(32, "little"))
        if y in (1, signatures.P - 1):  # x = 0: both signs are read
            encodings.add((y | 1 << 255).to_bytes(32, "little"))
            if y == 1:
                encodings.add((y + signatures.P | 1 << 255).to_bytes(32, "little"))
    return sorted(encodings)


def small_order() -> None:
    """With s = 0 and both A and R of small order, step 4 holds for every message, as ZIP-215 demands."""
    encodings = small_order_encodings()
    same("encodings, as ZIP-215 counts them", 14, len(encodings))
    for key in encodings:
        for r in encodings:
            same("holds", True, signatures.holds(key, b"Zcash", r + bytes(32)))


def s_too_large(documents: Documents) -> None:
    vote = documents["certificates.json"]["votes"][0]
    key, message, signature = (bytes.fromhex(vote[name]) for name in ("voter", "signed_bytes", "signature"))
    s = int.from_bytes(signature[32:], "little") + signatures.L
    same("holds", False, signatures.holds(key, message, signature[:32] + s.to_bytes(32, "little")))


def no_point() -> None:
    for y in range(2, 40):
        data = y.to_bytes(32, "little")
        if signatures.decode_point(data) is None:
            same("holds", False, signatures.holds(data, b"", bytes(64)))
            return
    raise Mismatch("no such key was found")


# Encodings cut at every length, and with a byte too many


def accepted_encodings(documents: Documents) -> Iterator[tuple[str, bytes, Callable[[bytes], Any]]]:
    """Each encoding that the vectors take for good, with its decoder."""

    def each(name: str, values: list[Any], field: str, decode: Callable[[bytes], Any]) -> Iterator[Any]:
        for number, value in enumerate(values):
            data = value[field] if field else value
            yield f"{name}[{number}]", bytes.fromhex(data), decode

    def good(values: list[Any]) -> list[Any]:
        return [value for value in values if value["verdict"] == "accepted"]

    file = documents["proofs.json"]
    yield from each("proof", file["accepted"], "proof", proofs.decode)
    file = documents["keys.json"]
    yield from each("key", file["valid"], "bytes", lambda data: codec.decode_whole(data, keys.read_key))
    file = documents["genesis.json"]
    yield from each("genesis", file["genesis"], "bytes", genesis.decode_genesis)
    yield from each(".cluster", file["genesis"], "cluster_record", genesis.decode_cluster_record)
    yield from each(".cluster of all", [file["cluster_record"]], "bytes", genesis.decode_cluster_record)
    yield from each(
        "member", file["members"][-1]["members"], "", lambda data: codec.decode_whole(data, members.read_member)
    )
    file = documents["requests.json"]
    yield from each("request", good(file["requests"]), "bytes", requests.decode_request)
    file = documents["blocks.json"]
    yield from each("block", file["blocks"], "bytes", blocks.decode_block)
    yield from each("header", file["blocks"], "header", blocks.decode_header)
    yield from each("result", file["results"], "bytes", blocks.decode_result)
    file = documents["certificates.json"]
    yield from each("vote", file["votes"], "bytes", certificates.decode_vote)
    yield from each("result proof", good(file["result_proofs"]), "bytes", certificates.decode_result_proof)
    yield from each("step", good(file["steps"]["steps"]), "bytes", certificates.decode_step)
    yield from each("newest block", good(file["newest"]), "bytes", certificates.decode_signed_newest)
    file = documents["history.json"]
    yield from each("peaks", file["histories"], "peaks", history.decode_peaks)
    file = documents["receipts.json"]
    yield from each("receipt", file["receipts"], "bytes", receipts.decode_receipt)
    file = documents["evidence.json"]
    yield from each("evidence", file["evidence"], "bytes", evidence.decode_evidence)
    file = documents["system.json"]
    yield from each("request of the system", file["requests"], "bytes", system.decode_system_request)


def check_cuts(documents: Documents, report: Report) -> None:
    def check(data: bytes, decode: Callable[[bytes], Any]) -> None:
        decode(data)
        for length in range(len(data)):
            must_be_refused(f"the first {length} of {len(data)} bytes", lambda: decode(data[:length]))
        for byte in (0, 1, 255):
            must_be_refused(f"{byte} behind the end", lambda: decode(data + bytes([byte])))

    for name, data, decode in accepted_encodings(documents):
        report.case(name, lambda: check(data, decode))


# Every bit flipped


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        yield bit, bytes(flipped)


def all_flips_refused(data: bytes, check: Callable[[bytes], Any], one_a_byte: bool = False) -> None:
    """With `one_a_byte` only one bit of each byte, another one each time: enough where each takes long."""
    check(data)
    for bit, flipped in flips(data):
        if one_a_byte and bit % 8 != bit // 8 % 8:
            continue
        must_be_refused(f"bit {bit} flipped", lambda: check(flipped))


def check_flips(documents: Documents, report: Report) -> None:
    report.case("a result proof", lambda: flip_result_proof(documents))
    for number, case in enumerate(documents["proofs.json"]["accepted"]):
        proof, root = bytes.fromhex(case["proof"]), bytes.fromhex(case["root"])
        report.case(f"proof[{number}]", lambda: all_flips_refused(proof, lambda data: proofs.verify(data, root)))
    report.case("signatures of a request", lambda: flip_signatures_of_request(documents))
    report.case("a receipt, and its path", lambda: flip_receipt(documents))
    for place in (2, 5):  # an absolute one of case 0, and that of case 2
        report.case(f"evidence[{place}]", lambda: flip_evidence(documents["evidence.json"]["evidence"][place]))
    report.case("a set of members, under its digest", lambda: flip_step(documents))
    report.case("inclusion and consistency", lambda: flip_history(documents))
    report.case("sizes of histories", lambda: sizes_are_not_proved(documents))


def flip_result_proof(documents: Documents) -> None:
    file = documents["certificates.json"]
    trusted = genesis.decode_genesis(bytes.fromhex(file["genesis"]))
    digest = trusted.digest()
    case = next(case for case in file["result_proofs"] if case["name"] == "one header")

    def check(data: bytes) -> None:
        certificates.check_result_proof(certificates.decode_result_proof(data), trusted.members, digest, trusted.governance.epoch_blocks)

    all_flips_refused(bytes.fromhex(case["bytes"]), check)


def flip_signatures_of_request(documents: Documents) -> None:
    file = documents["requests.json"]
    trusted = genesis.decode_genesis(bytes.fromhex(file["genesis"]))
    case = next(case for case in file["requests"] if case["name"] == "no touched record")
    request = requests.decode_request(bytes.fromhex(case["bytes"]))

    def check(signature: bytes) -> None:
        changed = dataclasses.replace(request, signatures=(signature,))
        requests.check_request(changed.encode(), trusted)

    all_flips_refused(request.signatures[0], check)


def flip_receipt(documents: Documents) -> None:
    case = documents["receipts.json"]["proofs"]["cases"][0]
    identity, receipt, path = (bytes.fromhex(case[name]) for name in ("identity", "receipt", "path"))
    result = blocks.decode_result(bytes.fromhex(case["result"]))
    all_flips_refused(receipt, lambda data: receipts.check_receipt(identity, data, path, result))
    all_flips_refused(path, lambda data: receipts.check_receipt(identity, receipt, data, result))
    all_flips_refused(identity, lambda data: receipts.check_receipt(data, receipt, path, result))


def flip_evidence(case: dict[str, Any]) -> None:
    trusted = bytes.fromhex(case["genesis"])
    all_flips_refused(
        bytes.fromhex(case["bytes"]),
        lambda data: evidence.judge(evidence.decode_evidence(data), trusted, None),
        one_a_byte=True,
    )


def flip_step(documents: Documents) -> None:
    """The members of a step are bound by `next` alone; the rest is a result proof like others."""
    steps = documents["certificates.json"]["steps"]
    step = certificates.decode_step(bytes.fromhex(steps["steps"][0]["bytes"]))
    expected = step.proof.headers[0].result.next
    encoded = members.encode_members(step.members)

    def check(data: bytes) -> None:
        decoded = codec.decode_whole(data, members.read_members)
        members.check_members(decoded)
        if members.members_digest(decoded) != expected:
            raise Refused("other_next")

    all_flips_refused(encoded, check)


def flip_history(documents: Documents) -> None:
    leaves = [bytes.fromhex(result["leaf"]) for result in documents["history.json"]["results"]]
    root = history.root_of(leaves)
    for height in range(len(leaves)):
        siblings = history.prove_inclusion(leaves, height)
        history.check_inclusion(leaves[height], height, len(leaves), root, siblings)
        for number, sibling in enumerate(siblings):
            for bit, flipped in flips(sibling):
                changed = siblings[:number] + [flipped] + siblings[number + 1 :]
                must_be_refused(
                    f"height {height}, sibling {number}, bit {bit}",
                    lambda: history.check_inclusion(leaves[height], height, len(leaves), root, changed),
                )
    for new in range(len(leaves) + 1):
        new_root = history.root_of(leaves[:new])
        for old in range(new + 1):
            old_root = history.root_of(leaves[:old])
            proof = history.prove_consistency(leaves[:new], old)
            history.check_consistency(old, old_root, new, new_root, proof)
            must_be_refused(
                f"{old} to {new} with a hash too many",
                lambda: history.check_consistency(old, old_root, new, new_root, [*proof, bytes(32)]),
            )
            if proof:
                must_be_refused(
                    f"{old} to {new} with a hash too few",
                    lambda: history.check_consistency(old, old_root, new, new_root, proof[:-1]),
                )


def sizes_are_not_proved(documents: Documents) -> None:
    """Both proofs hold for some other sizes too, of the same form. So a size must come with its root: it is the
    height of the very result that holds the root as `history`. (The page does not say so.)"""
    leaves = [bytes.fromhex(result["leaf"]) for result in documents["history.json"]["results"]]
    root = history.root_of(leaves[:5])
    siblings = history.prove_inclusion(leaves[:5], 0)
    sizes = range(1, 20)
    held = [size for size in sizes
            if verdict_of(lambda: history.check_inclusion(leaves[0], 0, size, root, siblings)) == "accepted"]  # fmt: skip
    same("sizes for an inclusion", [5, 6, 7, 8], held)
    proof = history.prove_consistency(leaves[:5], 4)
    old_root = history.root_of(leaves[:4])
    held = [size for size in sizes
            if verdict_of(lambda: history.check_consistency(4, old_root, size, root, proof)) == "accepted"]  # fmt: skip
    same("sizes for a consistency", [5, 6, 7, 8], held)


# Trees and proofs


def check_trees(documents: Documents, report: Report) -> None:
    report.case("merge and cut, of random sets", merge_and_cut)
    report.case("chunks of all sizes", chunks_of_all_sizes)
    report.case("extend", extend_proofs)
    report.case("a leaf at depth 256", leaf_at_depth_256)
    report.case("limits of a reader", limits_of_a_reader)


def merge_and_cut() -> None:
    choose = random.Random(1)
    whole = proofs.tree([(b"key %d" % number, b"") for number in range(300)])
    for _ in range(60):
        sets = [
            [hashes.plain_hash(b"key %d" % choose.randrange(600)) for _ in range(choose.randrange(12))] for _ in "ab"
        ]
        left, right = (proofs.verify(proofs.encode(proofs.cut(whole, paths)), whole.label) for paths in sets)
        both = proofs.encode(proofs.cut(whole, sets[0] + sets[1]))
        same("merged", both, proofs.encode(proofs.merge(left, right)))
        same("cut", proofs.encode(left), proofs.encode(proofs.cut(proofs.decode(both), sets[0])))
        same("minimal", True, proofs.is_minimal(left, sets[0]))
        if both != proofs.encode(left):
            same("minimal for fewer", False, proofs.is_minimal(proofs.decode(both), sets[0]))
    other = proofs.tree([(b"other", b"")])
    same("of other roots", "other_root", verdict_of(lambda: proofs.merge(whole, other)))


def chunks_of_all_sizes() -> None:
    whole = proofs.tree([(b"key %d" % number, b"") for number in range(60)])
    for within in ("", "0", "10", "1111"):
        expected = proofs.leaves_of_prefix(whole, within)
        for max_bytes in (450, 600, 1_000, 5_000):
            leaves = []
            for prefix, start, proof in proofs.chunks(whole, within, max_bytes):
                leaves += proofs.check_chunk(proofs.verify(proofs.encode(proof), whole.label), within, start, prefix)
            same("paths", [leaf.path for leaf in expected], [leaf.path for leaf in leaves])
    same("too small", None, proofs.chunk(whole, "", bytes(32), 100))
    same("outside", None, proofs.chunk(whole, "1", bytes(32), 5_000))


def extend_proofs() -> None:
    records = {b"key %d" % number: b"old" for number in range(200)}
    older = proofs.tree(records.items())
    changed, untouched = hashes.plain_hash(b"key 7"), hashes.plain_hash(b"key 8")
    records[b"key 7"] = b"new"
    newer = proofs.tree(records.items())
    of_newer = proofs.cut(newer, [changed])
    same("carried over", proofs.encode(proofs.cut(newer, [changed, untouched])),
         proofs.encode(proofs.extend(of_newer, proofs.cut(older, [untouched]), untouched)))  # fmt: skip
    same("of a stub", "undecided", verdict_of(lambda: proofs.extend(of_newer, of_newer, untouched)))
    older_changed = proofs.cut(older, [changed])
    same("other word", "different", verdict_of(lambda: proofs.extend(of_newer, older_changed, changed)))
    of_another = proofs.cut(newer, [untouched])
    same("changed", "no_such_node", verdict_of(lambda: proofs.extend(of_another, older_changed, changed)))


def leaf_at_depth_256() -> None:
    twins = [bytes(31) + b"\x00", bytes(31) + b"\x01"]
    whole = proofs.tree_of_leaves([(path, bytes(32)) for path in twins])
    data = proofs.encode(whole)
    verified = proofs.verify(data, whole.label)
    same("nodes", 513, proofs.count_nodes(verified))
    same("present", (proofs.PRESENT, bytes(32)), proofs.look_up(verified, twins[1]))
    same("merged", data, proofs.encode(proofs.merge(verified, proofs.decode(data))))


def limits_of_a_reader() -> None:
    whole = proofs.tree([(b"key %d" % number, b"") for number in range(50)])
    data = proofs.encode(whole)
    exact = proofs.Limits(len(data), proofs.count_nodes(whole), 50)
    proofs.decode(data, exact)
    for name, reason in (("bytes", "too_long"), ("nodes", "too_many_nodes"), ("leaves", "too_many_leaves")):
        narrower = dataclasses.replace(exact, **{name: getattr(exact, name) - 1})
        same(name, reason, verdict_of(lambda: proofs.decode(data, narrower)))


# Rules


def check_rules(documents: Documents, report: Report) -> None:
    report.case("keys", rules_of_keys)
    report.case("genesis", rules_of_genesis)
    report.case("decoders", rules_of_decoders)
    report.case("requests", rules_of_requests)
    report.case("block with another body", lambda: must_be_refused("it", another_body))


def rules_of_keys() -> None:
    for first, last in keys.FORBIDDEN_RANGES:
        for code in (first, last):
            must_be_refused(f"U+{code:04X}", lambda: keys.check_key(f"a{chr(code)}b".encode("utf-8")))
    for data in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"a\x80", b"k" * 513, b"\xff" * 513):
        must_be_refused(repr(data), lambda: keys.check_key(data))
    same("domains", ["bank/", "bank/sub/", "", ""], [keys.domain(key) for key in ("bank/a", "bank/sub/a", "a", ".a")])
    allowed = [
        (".root_rule", "anything"), (".root_rule", "bank/.owner"), ("bank/op", "bank/a"), ("bank/op", "bank/sub/a"),
        ("op", "anything"), ("bank/.base_rule", "bank/a"),
    ]  # fmt: skip
    refused = [
        (".base_rule", "a"), (".root_rule", ".cluster"), ("bank/op", "a"), ("bank/op", "shop/a"), ("op", ".x"),
        ("bank/sub/op", "bank/a"),
    ]  # fmt: skip
    same("may write", [True] * 6 + [False] * 6, [keys.may_write(*pair) for pair in allowed + refused])


def rules_of_genesis() -> None:
    good = sample_genesis()
    limits, governance, member = good.limits, good.governance, good.members[0]
    for name, most in genesis.MOST.items():
        for value in (0, most + 1):
            changed = dataclasses.replace(good, limits=dataclasses.replace(limits, **{name: value}))
            must_be_refused(f"{name} {value}", lambda: genesis.check_genesis(changed))
    wrong_limits = [{"gas": 0}, {"gas": limits.block_gas + 1}, {"module_bytes": 2 << 20, "warm_code_bytes": 1 << 20},
                    {"request_bytes": 3 << 20, "block_bytes": 2 << 20},
                    {"block_weight": genesis.heaviest_request_weight(limits) - 1}]  # fmt: skip
    wrong_governance: list[dict[str, Any]] = [
        {"epoch_blocks": 15}, {"epoch_blocks": 1_048_577}, {"members_max": 3}, {"members_max": 129},
        {"threshold": 1}, {"domains": 1}, {"owners": (seed(1),), "threshold": 0},
        {"owners": (seed(1),), "threshold": 2}, {"owners": (seed(2), seed(1)), "threshold": 1},
    ]  # fmt: skip
    wrong: list[dict[str, Any]] = [
        {"name": ""}, {"name": "x" * 65}, {"window": 0}, {"window": 65_537}, {"bits": 13}, {"replicas": 0},
        {"members": ()}, {"members": (dataclasses.replace(member, capacity=0),)},
        {"records": ((".cluster", b""),)}, {"records": (("b", b""), ("a", b""))}, {"records": (("a", b""), ("a", b""))},
        {"records": (("a//b", b""),)},
    ]  # fmt: skip
    wrong += [{"limits": dataclasses.replace(limits, **each)} for each in wrong_limits]
    wrong += [{"governance": dataclasses.replace(governance, **each)} for each in wrong_governance]
    for each in wrong:
        changed = dataclasses.replace(good, **each)
        must_be_refused(str(each), lambda: genesis.check_genesis(changed))
        must_be_refused(f"encoded {each}", lambda: genesis.decode_genesis(changed.encode()))
    document = genesis.document_of_genesis(good)
    same("read again", good, genesis.genesis_of_document(document))
    must_be_refused("another name", lambda: genesis.genesis_of_document({**document, "more": 1}))
    must_be_refused("no salt", lambda: genesis.genesis_of_document({k: v for k, v in document.items() if k != "salt"}))
    must_be_refused("bits true", lambda: genesis.genesis_of_document({**document, "window": True}))


def rules_of_decoders() -> None:
    def read(data: str, reader: Callable[[codec.Reader], Any]) -> Callable[[], Any]:
        return lambda: codec.decode_whole(hex_of(data), reader)

    must_be_refused("2 before an option", read("02 00", lambda reader: reader.option(reader.u8)))
    must_be_refused("a huge count", read("ffffffff", lambda reader: reader.sequence(2**32, reader.u8)))
    must_be_refused("a count above its limit", read("03000000 010203", lambda reader: reader.sequence(2, reader.u8)))
    must_be_refused("a surrogate", read("03000000 eda080", lambda reader: reader.text(9)))
    must_be_refused("an overlong form", read("02000000 c0af", lambda reader: reader.text(9)))
    must_be_refused("vote of kind 3", lambda: certificates.decode_vote(b"\x03" + bytes(64)))
    must_be_refused("refusal 10 of the system", lambda: receipts.decode_refusal(b"\x0c\x0a"))
    must_be_refused("refusal 14", lambda: receipts.decode_refusal(b"\x0e"))
    must_be_refused("host misuse 3", lambda: receipts.decode_refusal(b"\x0a\x03"))
    must_be_refused("limit 4", lambda: receipts.decode_refusal(b"\x0b\x04" + bytes(8)))
    header = bytes(32 + 8 + 4 + 8)
    must_be_refused("verdict 2", lambda: receipts.decode_receipt(header + b"\x02"))
    long_events = receipts.CallResult(b"", (receipts.Event(bytes(16_384), b"x"),))
    receipt = receipts.Receipt(bytes(32), 0, 0, 0, receipts.Applied((long_events,)))
    must_be_refused("events of 16,385 bytes", lambda: receipts.decode_receipt(receipt.encode()))
    signed = certificates.SignedResult(blocks.decode_result(bytes(232)), bytes(64))
    case = evidence.TwoResults(signed, signed)
    must_be_refused(
        "one result twice", lambda: evidence.decode_evidence(evidence.Evidence(bytes(32), bytes(32), case).encode())
    )
    must_be_refused("case 4", lambda: evidence.decode_evidence(bytes(64) + b"\x04"))


def rules_of_requests() -> None:
    sample = sample_genesis()
    whole = genesis.tree_of_height_0(sample)
    operation = ".root_rule"
    body = requests.Body(sample.digest(), (requests.Call(operation, b""),), 1_000, ("empty", "nobody"), 0, bytes(16), ())
    proof = proofs.encode(proofs.cut(whole, [keys.path_of_key(key) for key in (*body.touched, operation)]))
    good = requests.Request(body, (), proof, (b"", None), (b"\x00asm",))

    def verdict(request: requests.Request, trusted: genesis.Genesis = sample) -> str:
        return verdict_of(lambda: requests.check_request(request.encode(), trusted))

    def narrower(**changed: int) -> tuple[requests.Request, genesis.Genesis]:
        """The same request in a cluster of narrower limits; its rules do not matter here."""
        trusted = dataclasses.replace(sample, limits=dataclasses.replace(sample.limits, **changed))
        return dataclasses.replace(good, body=dataclasses.replace(body, genesis=trusted.digest())), trusted

    same("good", "accepted", verdict(good))
    same("as long as may be", "accepted", verdict(*narrower(request_bytes=len(good.encode()), module_bytes=4)))
    same("a byte longer", "OVER_LIMIT", verdict(*narrower(request_bytes=len(good.encode()) - 1)))
    same("long code", "OVER_LIMIT", verdict(*narrower(module_bytes=3)))
    long_value = dataclasses.replace(good, values=(b"xy", None))
    same("long values come first", "VALUE_MISMATCH", verdict(long_value))
    request, trusted = narrower(record_bytes=1)
    same("long values", "OVER_LIMIT", verdict(dataclasses.replace(request, values=(b"xy", None)), trusted))
    same("code of an absent operation", "CODE_MISMATCH", verdict(code_of_an_absent_operation(good, whole)))


def code_of_an_absent_operation(good: requests.Request, whole: proofs.Node) -> requests.Request:
    body = dataclasses.replace(good.body, calls=(requests.Call("none", b""),), touched=())
    proof = proofs.encode(proofs.cut(whole, [keys.path_of_key("none")]))
    return dataclasses.replace(good, body=body, proof=proof, values=(), code=(b"",))


def another_body() -> None:
    block = blocks.block_of_height_0(bytes(32))
    blocks.decode_block(dataclasses.replace(block, requests=(b"",)).encode())


CHECKS: dict[str, Callable[[Documents, Report], None]] = {
    "(examples of the pages)": check_examples,
    "(ZIP-215)": check_zip215,
    "(encodings cut or continued)": check_cuts,
    "(bits flipped)": check_flips,
    "(trees and proofs)": check_trees,
    "(rules)": check_rules,
}
