"""The checks of the test vectors: one function for each file."""

from __future__ import annotations

from typing import Callable, Optional

from pleach import (
    arguments,
    blocks,
    absence,
    certificates,
    codec,
    descriptions,
    evidence,
    files,
    genesis,
    hashes,
    history,
    http,
    keys,
    members,
    messages,
    partition,
    proof_files,
    proofs,
    receipts,
    requests,
    signatures,
    system,
)
from pleach.codec import Refused
from report import Fields, Mismatch, Report, as_bytes, as_list, as_text, check_object, must_be_refused, same, verdict_of

Record = tuple[bytes, bytes]

# protocol.md, Example: keys are made of seeds of 32 equal bytes. So signatures by these can be made anew.
SEEDS = {signatures.key_of_seed(bytes([number]) * 32): bytes([number]) * 32 for number in range(1, 33)}


def check_signing(key: bytes, message: bytes, signature: bytes) -> None:
    """A signature that holds is, where the seed is known, the one that RFC 8032 makes."""
    same("signature holds", True, signatures.holds(key, message, signature))
    if key in SEEDS:
        same("signature made anew", signature, signatures.sign(SEEDS[key], message))


def numbered_records(count: int) -> list[Record]:
    """records.json, `record_format`. proofs.json means the same where it leaves its records out."""
    return [(b"key %d" % number, b"value %d" % number) for number in range(count)]


# proofs.json


def check_proofs(document: Fields, report: Report) -> None:
    report.objects(document, "accepted", check_accepted_proof)
    report.objects(document, "refused", check_refused_proof)


def check_accepted_proof(case: Fields) -> None:
    case.text("name")
    count, root, proof = case.number("record_count"), case.hex("root"), case.hex("proof")
    records = [(as_bytes(key), as_bytes(value)) for key, value in (as_list(pair) for pair in case.items("records"))]
    if not records:
        records = numbered_records(count)
    same("record_count", count, len(records))
    whole = proofs.tree(records)
    same("root", root, whole.label)
    verified = proofs.verify(proof, root)
    same("encoding", proof, proofs.encode(verified))

    decided = []
    for answer in case.objects("answers"):
        key = answer.hex("key")
        path = hashes.plain_hash(key)
        says, digest = proofs.look_up(verified, path)
        same(f"says of {key!r}", answer.text("says"), says)
        if says == proofs.PRESENT:
            same(f"value digest of {key!r}", answer.hex("value_digest"), digest)
            same(f"value of {key!r}", hashes.plain_hash(dict(records)[key]), digest)
        if says != proofs.UNDECIDED:
            decided.append(path)
            same(f"{key!r} is a record", key in dict(records), says == proofs.PRESENT)
        answer.end()
    # The keys that the proof was made for are not given. It decides some of the answers' keys, and
    # if it is minimal for these the tree itself must give the very same proof.
    if proofs.is_minimal(verified, decided):
        same("proof made anew", proof, proofs.encode(proofs.cut(whole, decided)))
    else:
        raise Mismatch("the answers do not show what the proof was made for")


def check_refused_proof(case: Fields) -> None:
    case.text("name")
    reason, root, proof = case.text("reason"), case.hex("root"), case.hex("proof")
    same("reason", reason, verdict_of(lambda: proofs.verify(proof, root)))
    if reason in FAULTS_OF_FORM:
        same("root by the labels alone", root, careless_root(proof))
    elif reason != "other_root":
        same("root", hashes.ZEROS, root)


# A proof with one of these faults has a root all the same, and the vectors give just that: who forgets to look for
# the fault accepts the proof.
FAULTS_OF_FORM = (
    "empty_siblings", "lone_leaf", "stub_siblings", "empty_stub", "leaf_stub", "misplaced_leaf", "too_deep",
)  # fmt: skip


def careless_root(data: bytes) -> bytes:
    """The root of a proof by its tags and payloads, without any of the checks of a verifier."""
    nodes = [proofs.Node()]
    for number, node in enumerate(nodes):  # the list grows while it is walked
        node.kind = data[number // 4] >> (6 - 2 * (number % 4)) & 0b11
        if node.kind == proofs.INTERNAL:
            node.zero, node.one = proofs.Node(), proofs.Node()
            nodes += [node.zero, node.one]
    at = (len(nodes) + 3) // 4
    for node in nodes:
        payload = data[at : at + proofs.PAYLOAD_BYTES[node.kind]]
        at += len(payload)
        if node.kind == proofs.LEAF:
            node.path, node.value_digest = payload[:32], payload[32:]
        elif node.kind == proofs.STUB:
            node.label = payload
    proofs.compute_labels(nodes)
    return nodes[0].label


# records.json


def check_records(document: Fields, report: Report) -> None:
    count, root = document.number("record_count"), document.hex("root")
    whole = proofs.tree(numbered_records(count))

    def check_tree() -> None:
        same("record_format", "key N has the value 'value N', N from 0 on", document.text("record_format"))
        same("root", root, whole.label)

    report.case("the tree", check_tree)
    report.objects(document, "values", check_value)
    report.objects(document, "merged", lambda case: check_merged(case, whole))
    report.objects(document, "prefixes", lambda case: check_prefix(case, whole))
    report.case("chunks", lambda: check_chunks(document.object("chunks"), whole))


def check_value(case: Fields) -> None:
    case.text("name")
    key, value = case.text("key").encode("utf-8"), case.optional_hex("value")
    root, proof = case.hex("root"), case.hex("proof")
    found = verdict_of(lambda: proofs.check_value(proofs.verify(proof, root), key, value))
    same("verdict", case.text("verdict"), found)
    same("encoding", proof, proofs.encode(proofs.decode(proof)))


def check_merged(case: Fields, whole: proofs.Node) -> None:
    sides = []
    paths = []
    for side in ("left", "right"):
        side_keys = [keys.path_of_key(key) for key in case.text_list(f"{side}_keys")]
        proof = case.hex(side)
        same(f"{side} made anew", proof, proofs.encode(proofs.cut(whole, side_keys)))
        verified = proofs.verify(proof, whole.label)
        same(f"{side} is minimal", True, proofs.is_minimal(verified, side_keys))
        sides.append((verified, proof, side_keys))
        paths += side_keys
    expected = case.hex("merged")
    left, right = sides[0][0], sides[1][0]
    same("merged", expected, proofs.encode(proofs.merge(left, right)))
    same("merged the other way", expected, proofs.encode(proofs.merge(right, left)))
    same("proof of both", expected, proofs.encode(proofs.cut(whole, paths)))
    merged = proofs.verify(expected, whole.label)
    for _, proof, side_keys in sides:
        same("cut", proof, proofs.encode(proofs.cut(merged, side_keys)))


def check_prefix(case: Fields, whole: proofs.Node) -> None:
    case.text("name")
    prefix, root, proof = case.text("prefix"), case.hex("root"), case.hex("proof")
    pairs = [as_list(pair) for pair in case.items("records")]
    records = [(as_text(key).encode("utf-8"), as_bytes(value)) for key, value in pairs]
    verdict = case.text("verdict")

    def check() -> None:
        proofs.check_records_of_prefix(proofs.verify(proof, root), prefix, records)

    same("verdict", verdict, verdict_of(check))
    made = proofs.encode(proofs.cut(whole, [], [prefix]))
    same("proof made anew is this one", verdict != "incomplete", made == proof)


def check_chunks(case: Fields, whole: proofs.Node) -> None:
    within, max_bytes = case.text("within"), case.number("max_bytes")
    same("root", case.hex("root"), whole.label)
    expected = case.objects("chunks")
    made = list(proofs.chunks(whole, within, max_bytes))
    same("number of chunks", len(expected), len(made))
    paths = []
    for chunk, (prefix, start, proof) in zip(expected, made):
        same("prefix", chunk.text("prefix"), prefix)
        same("start", chunk.hex("start"), start)
        given = chunk.hex("proof")
        same("proof", given, proofs.encode(proof))
        leaves = proofs.check_chunk(proofs.verify(given, whole.label), within, start, prefix)
        same("records", chunk.number("records"), len(leaves))
        paths += [leaf.path for leaf in leaves]
        chunk.end()
    same("all records", [leaf.path for leaf in proofs.leaves_of_prefix(whole, within)], paths)
    case.end()


# keys.json


def check_keys(document: Fields, report: Report) -> None:
    report.objects(document, "valid", check_valid_key)
    for number, text in enumerate(document.text_list("invalid")):
        report.case(f"invalid[{number}] {text[:20]!r}", lambda: check_invalid_key(text))


def check_valid_key(case: Fields) -> None:
    key, encoded = case.text("key"), case.hex("bytes")
    same("key", key, keys.check_key(key.encode("utf-8")))
    same("encoding", encoded, codec.text(key))
    same("decoded", key, codec.decode_whole(encoded, keys.read_key))
    same("path", case.hex("path"), keys.path_of_key(key))


def check_invalid_key(text: str) -> None:
    same("verdict", "key", verdict_of(lambda: keys.check_key(text.encode("utf-8"))))


# genesis.json


def check_genesis_file(document: Fields, report: Report) -> None:
    report.objects(document, "genesis", check_genesis)
    report.objects(document, "members", check_set_of_members)
    report.case("cluster_record", lambda: check_cluster_record(document.object("cluster_record")))


def check_genesis(case: Fields) -> None:
    case.text("name")
    data, json_form = case.hex("bytes"), case.take("document")
    decoded = genesis.decode_genesis(data)
    same("encoding", data, decoded.encode())
    same("genesis of the document", decoded, genesis.genesis_of_document(json_form))
    same("document", json_form, genesis.document_of_genesis(decoded))
    same("digest", case.hex("digest"), decoded.digest())
    same("members_digest", case.hex("members_digest"), members.members_digest(decoded.members))
    cluster = genesis.cluster_record_of_height_0(decoded)
    encoded_cluster = case.hex("cluster_record")
    same("cluster_record", encoded_cluster, cluster.encode())
    same("cluster_record decoded", cluster, genesis.decode_cluster_record(encoded_cluster))
    same("root", case.hex("root"), genesis.tree_of_height_0(decoded).label)
    result = genesis.result_of_height_0(decoded)
    encoded_result = case.hex("result")
    same("result", encoded_result, result.encode())
    same("result decoded", result, blocks.decode_result(encoded_result))


def decode_any_member(data: bytes) -> members.Member:
    """These need not keep the limits of names and addresses, so that the rules can name the reason."""
    decoded = codec.decode_whole(data, lambda reader: members.read_member(reader, len(data), len(data)))
    same("encoding of a member", data, decoded.encode())
    return decoded


def check_set_of_members(case: Fields) -> None:
    case.text("name")
    decoded = [decode_any_member(data) for data in case.hex_list("members")]
    verdict = case.text("verdict")
    same("verdict", verdict, verdict_of(lambda: members.check_members(decoded)))
    if verdict == "accepted":
        same("digest", case.hex("digest"), members.members_digest(decoded))
        same("faults", case.number("faults"), members.faults_tolerated(len(decoded)))
        same("quorum", case.number("quorum"), members.quorum(len(decoded)))


def terms_of(case: Fields) -> genesis.Terms:
    names = ("rules", "gas", "block_gas", "block_weight", "expulsions")
    terms = genesis.Terms(**{name: case.number(name) for name in names})
    case.end()
    return terms


def check_cluster_record(case: Fields) -> None:
    data = case.hex("bytes")
    lists = {name: tuple(map(decode_any_member, case.hex_list(name))) for name in ("members", "next", "standby")}
    verdicts = []
    owners = tuple(case.hex_list("owners"))
    for verdict in case.objects("verdicts"):
        verdicts.append(
            genesis.Verdict(
                key=verdict.hex("key"),
                kind=verdict.number("kind"),
                evidence=verdict.hex("evidence"),
                height=verdict.number("height"),
                removed=verdict.flag("removed"),
            )
        )
        verdict.end()
    absences = []
    for absence in case.objects("absences"):
        absences.append(
            genesis.Absence(
                id=absence.hex("id"), epochs=absence.number("epochs"), missed=absence.flag("missed")
            )
        )
        absence.end()
    record = genesis.ClusterRecord(
        seq=case.number("seq"),
        members=lists["members"],
        next=lists["next"],
        standby=lists["standby"],
        owners=owners,
        threshold=case.number("threshold"),
        cap=case.number("cap"),
        unasked=case.number("unasked"),
        verdicts=tuple(verdicts),
        terms=terms_of(case.object("terms")),
        next_terms=terms_of(case.object("next_terms")),
        absences=tuple(absences),
    )
    same("encoding", data, record.encode())
    same("decoded", record, genesis.decode_cluster_record(data))
    case.end()


# partitions.json


def check_partitions(document: Fields, report: Report) -> None:
    report.objects(document, "maps", check_map)
    report.objects(document, "prefixes", check_prefix_of_key)

    def check_cluster() -> None:
        four = [members.Member(bytes([n]) * 32, bytes([n]) * 32, f"m{n}", 1, "") for n in range(4)]
        expected = document.items("keepers_of_cluster_record_of_4_members")
        same("keepers", expected, partition.keepers_of_record(four, 4, keys.CLUSTER, 2))

    report.case("keepers_of_cluster_record_of_4_members", check_cluster)


def check_map(case: Fields) -> None:
    case.text("name")
    bits, replicas = case.number("bits"), case.number("replicas")
    decoded = [decode_any_member(data) for data in case.hex_list("members")]
    members.check_members(decoded)
    found = [partition.keepers(decoded, bits, prefix, replicas) for prefix in range(1 << bits)]
    same("keepers", case.items("keepers"), found)


def check_prefix_of_key(case: Fields) -> None:
    path = keys.path_of_key(case.text("key"))
    same("path", case.hex("path"), path)
    same("prefix_of_12_bits", case.number("prefix_of_12_bits"), partition.prefix_of_path(path, 12))


# requests.json


def check_requests(document: Fields, report: Report) -> None:
    trusted = genesis.decode_genesis(document.hex("genesis"))
    report.objects(document, "requests", lambda case: check_request(case, trusted))
    report.objects(document, "blocks", lambda case: check_budget(case, trusted))


def check_request(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    data, verdict = case.hex("bytes"), case.text("verdict")
    same("ordered", case.hex("ordered"), blocks.ordered_digest(data))
    same("verdict", verdict, verdict_of(lambda: requests.check_request(data, trusted)))
    if verdict == "accepted":
        expected = case.object("shown")
        check_shown(expected, requests.check_request(data, trusted), trusted)
        expected.end()
    if verdict != "MALFORMED":
        same("encoding", data, requests.decode_request(data).encode())


def check_shown(expected: Fields, found: requests.Acceptable, trusted: genesis.Genesis) -> None:
    calls = []
    for call in expected.objects("calls"):
        calls.append(requests.Call(call.text("operation"), call.hex("arguments")))
        call.end()
    body = requests.Body(
        genesis=trusted.digest(),
        calls=tuple(calls),
        gas=expected.number("gas"),
        touched=tuple(expected.text_list("touched")),
        base=expected.number("base"),
        nonce=expected.hex("nonce"),
        signers=tuple(expected.hex_list("signers")),
    )
    same("body of the fields", expected.hex("body"), body.encode())
    same("body", body, found.request.body)
    same("identity", expected.hex("identity"), found.identity)
    message = signatures.request_message(found.identity)
    same("signed_bytes", expected.hex("signed_bytes"), message)
    given = expected.hex_list("signatures")
    same("signatures", given, list(found.request.signatures))
    for signer, signature in zip(body.signers, given):
        check_signing(signer, message, signature)
    same("weight", expected.number("weight"), found.weight)
    same("proof_root", expected.hex("proof_root"), found.proof_root)
    digests = [None if value is None else as_bytes(value) for value in expected.items("touched_digests")]
    same("touched_digests", digests, list(found.touched_digests))
    same("operation_digest", [expected.optional_hex("operation_digest")], list(found.operation_digests))


def check_budget(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    budget = requests.Budget(
        block_requests=case.number("block_requests"),
        block_bytes=case.number("block_bytes"),
        block_gas=case.number("block_gas"),
        block_weight=case.number("block_weight"),
    )
    held = case.hex_list("requests")
    same("verdict", case.text("verdict"), verdict_of(lambda: requests.check_budget(held, trusted, budget)))


# blocks.json


def check_blocks(document: Fields, report: Report) -> None:
    report.objects(document, "blocks", check_block)
    report.objects(document, "refused", check_refused_block)
    report.objects(document, "results", check_result)
    report.objects(document, "written", check_written)
    report.objects(document, "code", check_code)


def check_block(case: Fields) -> None:
    name = case.text("name")
    held = tuple(case.hex_list("requests"))
    context = blocks.Context(
        epoch=case.number("epoch"),
        view=case.number("view"),
        parent_view=case.number("parent_view"),
        leader=case.hex("leader"),
        parent=case.hex("parent"),
    )
    result = blocks.decode_result(case.hex("result"))
    same("request_digests", case.hex_list("request_digests"), [blocks.ordered_digest(each) for each in held])
    body = blocks.body_digest(held)
    same("body", case.hex("body"), body)
    header = blocks.Header(context, case.number("height"), body, result)
    encoded_header = case.hex("header")
    same("header", encoded_header, header.encode())
    same("header decoded", header, blocks.decode_header(encoded_header))
    same("digest", case.hex("digest"), header.digest())
    data = case.hex("bytes")
    block = blocks.Block(header, held)
    same("encoding", data, block.encode())
    same("decoded", block, blocks.decode_block(data))
    if header.height == 0:
        same(name, blocks.block_of_height_0(context.parent), block)


def check_refused_block(case: Fields) -> None:
    case.text("name")
    data = case.hex("bytes")
    same("verdict", "encoding", verdict_of(lambda: blocks.decode_block(data)))


def check_result(case: Fields) -> None:
    result = blocks.Result(
        height=case.number("height"),
        root=case.hex("root"),
        receipts=case.hex("receipts"),
        written=case.hex("written"),
        code=case.hex("code"),
        history=case.hex("history"),
        members=case.hex("members"),
        next=case.hex("next"),
    )
    data = case.hex("bytes")
    same("encoding", data, result.encode())
    same("decoded", result, blocks.decode_result(data))
    message = signatures.result_message(case.hex("genesis"), data)
    same("signed_bytes", case.hex("signed_bytes"), message)
    if result.height == 0:
        same("result of height 0", blocks.result_of_height_0(result.root, result.members), result)


def check_written(case: Fields) -> None:
    same("digest", case.hex("digest"), blocks.written_digest(case.hex_list("paths")))


def check_code(case: Fields) -> None:
    code = []
    for each in case.objects("code"):
        code.append((each.hex("digest"), each.number("bytes")))
        each.end()
    same("digest", case.hex("digest"), blocks.code_digest(code))


# certificates.json


def check_certificates(document: Fields, report: Report) -> None:
    trusted = genesis.decode_genesis(document.hex("genesis"))
    report.objects(document, "votes", lambda case: check_vote(case, trusted.digest()))
    report.objects(document, "result_proofs", lambda case: check_result_proof(case, trusted))
    report.objects(document, "signed_results", lambda case: check_signed_result(case, trusted))
    report.objects(document, "newest", lambda case: check_newest(case, trusted))
    steps = document.object("steps")
    of_steps = genesis.decode_genesis(steps.hex("genesis"))
    report.objects(steps, "steps", lambda case: check_step(case, of_steps))
    steps.end()


def check_vote(case: Fields, genesis_digest: bytes) -> None:
    kind = certificates.VOTE_NAMES.index(case.text("kind"))
    round = certificates.Round(case.number("epoch"), case.number("view"))
    vote = certificates.Vote(
        kind=kind,
        parent_view=case.optional_number("parent_view"),
        block=case.optional_hex("block"),
        signature=case.hex("signature"),
    )
    data = case.hex("bytes")
    same("encoding", data, vote.encode())
    same("decoded", vote, certificates.decode_vote(data))
    message = vote.message(genesis_digest, round)
    same("signed_bytes", case.hex("signed_bytes"), message)
    check_signing(case.hex("voter"), message, vote.signature)


def check_result_proof(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    data, expected, verdict = case.hex("bytes"), case.optional_hex("result"), case.text("verdict")
    proved: Optional[bytes] = None
    found = "accepted"
    try:
        proof = certificates.decode_result_proof(data)
        same("encoding", data, proof.encode())
        proved = certificates.check_result_proof(
            proof, trusted.members, trusted.digest(), trusted.governance.epoch_blocks
        ).encode()
    except Refused as refused:
        found = refused.reason
    same("verdict", verdict, found)
    same("result", expected, proved)


def check_newest(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    node, nonce, data = case.hex("node"), case.hex("nonce"), case.hex("bytes")
    expected, verdict = case.optional_number("cover"), case.text("verdict")
    cover: Optional[int] = None
    found = "accepted"
    try:
        signed = certificates.decode_signed_newest(data)
        same("encoding", data, signed.encode())
        epoch_blocks = trusted.governance.epoch_blocks
        certificates.check_signed_newest(signed, node, nonce, trusted.members, trusted.digest(), epoch_blocks)
        cover = 0 if signed.newest is None else signed.newest.cover(epoch_blocks)
    except Refused as refused:
        found = refused.reason
    same("verdict", verdict, found)
    same("cover", expected, cover)


def check_absence(document: Fields, report: Report) -> None:
    trusted = genesis.decode_genesis(document.hex("genesis"))
    report.objects(document, "cases", lambda case: check_absence_proof(case, trusted))


def check_absence_proof(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    identity, first, data = case.hex("identity"), case.number("first"), case.hex("bytes")
    expected, verdict = case.optional_number("last"), case.text("verdict")
    last: Optional[int] = None
    found = "accepted"
    try:
        proof = absence.decode_absence_proof(data)
        same("encoding", data, proof.encode())
        last = absence.check_absence_proof(proof, identity, first, trusted)
    except Refused as refused:
        found = refused.reason
    same("verdict", verdict, found)
    same("last", expected, last)


def check_signed_result(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    node, result, signature = case.hex("node"), case.hex("result"), case.hex("signature")
    verdict = case.text("verdict")
    signed = certificates.SignedResult(blocks.decode_result(result), signature)
    same("encoding", result + signature, signed.encode())

    def check() -> None:
        certificates.check_signed_result(signed, node, trusted.members, trusted.digest())

    same("verdict", verdict, verdict_of(check))
    if verdict == "accepted":
        check_signing(node, signatures.result_message(trusted.digest(), result), signature)


def check_step(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    data, verdict, digest = case.hex("bytes"), case.text("verdict"), case.optional_hex("members_digest")
    step = certificates.decode_step(data)
    same("encoding", data, step.encode())
    epoch_blocks = trusted.governance.epoch_blocks

    def check() -> None:
        certificates.check_step(step, trusted.members, epoch_blocks, trusted.digest())

    found = verdict_of(check)
    same("verdict", verdict, found)
    same("members_digest", digest, members.members_digest(step.members) if found == "accepted" else None)


# history.json


def check_history(document: Fields, report: Report) -> None:
    leaves: list[bytes] = []

    def check_leaf(case: Fields) -> None:
        data = case.hex("result")
        same("height", case.number("height"), blocks.decode_result(data).height)
        same("place", len(leaves), blocks.decode_result(data).height)
        same("leaf", case.hex("leaf"), history.leaf(data))
        leaves.append(history.leaf(data))

    report.objects(document, "results", check_leaf)
    report.objects(document, "histories", lambda case: check_peaks(case, leaves))
    report.objects(document, "inclusion", lambda case: check_inclusion(case, leaves))
    report.objects(document, "consistency", lambda case: check_consistency(case, leaves))


def check_peaks(case: Fields, leaves: list[bytes]) -> None:
    size, data, root = case.number("size"), case.hex("peaks"), case.hex("root")
    peaks = history.decode_peaks(data)
    same("peaks", history.peaks_of(leaves[:size]), peaks)
    same("encoding", data, peaks.encode())
    same("size", size, peaks.size)
    same("root", root, peaks.root())
    same("root by the definition", root, history.root_by_definition(leaves[:size]))


def check_inclusion(case: Fields, leaves: list[bytes]) -> None:
    case.text("name")
    height, size, root = case.number("height"), case.number("size"), case.hex("root")
    siblings, verdict = case.hex_list("siblings"), case.text("verdict")

    def check() -> None:
        history.check_inclusion(leaves[height], height, size, root, siblings)

    same("verdict", verdict, verdict_of(check))
    same("enough results", True, size <= len(leaves))
    if verdict != "other_root":
        same("root", root, history.root_of(leaves[:size]))
    if verdict == "accepted":
        same("proof made anew", siblings, history.prove_inclusion(leaves[:size], height))


def check_consistency(case: Fields, leaves: list[bytes]) -> None:
    case.text("name")
    first, first_root = case.number("first"), case.hex("first_root")
    second, second_root = case.number("second"), case.hex("second_root")
    proof, verdict = case.hex_list("proof"), case.text("verdict")

    def check() -> None:
        history.check_consistency(first, first_root, second, second_root, proof)

    same("verdict", verdict, verdict_of(check))
    same("enough results", True, max(first, second) <= len(leaves))
    if verdict != "other_root":
        same("first_root", first_root, history.root_of(leaves[:first]))
        same("second_root", second_root, history.root_of(leaves[:second]))
    if verdict == "accepted":
        same("proof made anew", proof, history.prove_consistency(leaves[:second], first))


# receipts.json


def check_receipts(document: Fields, report: Report) -> None:
    report.objects(document, "receipts", check_receipt)
    under = document.object("proofs")
    tree = check_tree_of_receipts(under, report)
    report.objects(under, "cases", lambda case: check_receipt_proof(case, tree))
    under.end()


def check_receipt(case: Fields) -> None:
    verdict: receipts.Applied | receipts.NotApplied
    if case.has("applied"):
        calls = []
        for call in case.objects("applied"):
            events = []
            for event in call.objects("events"):
                events.append(receipts.Event(event.hex("topic"), event.hex("data")))
                event.end()
            calls.append(receipts.CallResult(call.hex("output"), tuple(events)))
            call.end()
        verdict = receipts.Applied(tuple(calls))
    else:
        refused = case.object("refused")
        encoded_refusal = refused.hex("refusal")
        refusal = receipts.decode_refusal(encoded_refusal)
        same("refusal", encoded_refusal, refusal.encode())
        same("code", refused.text("code"), refusal.code())
        verdict = receipts.NotApplied(refused.optional_number("call"), refusal)
        refused.end()
    receipt = receipts.Receipt(
        identity=case.hex("identity"),
        height=case.number("height"),
        index=case.number("index"),
        gas=case.number("gas"),
        verdict=verdict,
    )
    data = case.hex("bytes")
    same("encoding", data, receipt.encode())
    same("decoded", receipt, receipts.decode_receipt(data))


def check_tree_of_receipts(under: Fields, report: Report) -> proofs.Node:
    held, root = under.hex_list("receipts"), under.hex("root")
    tree = receipts.tree_of_receipts(held)

    def check() -> None:
        same("root", root, tree.label)
        for data in held:
            same("encoding", data, receipts.decode_receipt(data).encode())

    report.case("receipts under a root", check)
    return tree


def check_receipt_proof(case: Fields, tree: proofs.Node) -> None:
    case.text("name")
    identity, receipt, path = case.hex("identity"), case.hex("receipt"), case.hex("path")
    result, verdict = blocks.decode_result(case.hex("result")), case.text("verdict")
    same("verdict", verdict, verdict_of(lambda: receipts.check_receipt(identity, receipt, path, result)))
    if verdict == "accepted":
        same("path made anew", path, proofs.encode(proofs.cut(tree, [hashes.plain_hash(identity)])))


# signatures.json


def check_signatures(document: Fields, report: Report) -> None:
    small_order = document.take("small_order")
    report.case("small_order", lambda: check_object(small_order, check_small_order))
    report.objects(document, "signatures", check_one_signature)


def check_small_order(case: Fields) -> None:
    """protocol.md, Signatures: points of small order are accepted, also where y is not reduced or the sign is needless."""
    points, message, s = case.hex_list("points"), case.hex("message"), case.hex("s")
    for key in points:
        for r in points:
            same("signature holds", True, signatures.holds(key, message, r + s))


def check_one_signature(case: Fields) -> None:
    case.text("name")
    key, message, signature = case.hex("key"), case.hex("message"), case.hex("signature")
    found = "accepted" if signatures.holds(key, message, signature) else "bad_signature"
    same("verdict", case.text("verdict"), found)


# evidence.json


def check_evidence(document: Fields, report: Report) -> None:
    report.objects(document, "evidence", check_one_evidence)


def check_one_evidence(case: Fields) -> None:
    case.text("name")
    data, trusted = case.hex("bytes"), case.hex("genesis")
    certified = case.optional_hex("certified")
    decoded = evidence.decode_evidence(data)
    same("encoding", data, decoded.encode())
    same("digest", case.hex("digest"), decoded.digest())
    same("accused", case.hex("accused"), decoded.accused)
    try:
        found = evidence.judge(decoded, trusted, None if certified is None else blocks.decode_result(certified))
    except Refused as refused:
        found = refused.reason
    same("verdict", case.text("verdict"), found)


# system.json


def check_system(document: Fields, report: Report) -> None:
    trusted = genesis.decode_genesis(document.hex("genesis"))
    report.objects(document, "requests", lambda case: check_system_request(case, trusted))
    report.objects(document, "refused", lambda case: check_refused_system_request(case, trusted))


def check_system_request(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    data = case.hex("bytes")
    found = system.check_system_request(data, trusted)
    same("verdict", case.text("verdict"), "accepted")
    same("encoding", data, found.encode())
    same("ordered", case.hex("ordered"), blocks.ordered_digest(data))
    same("identity", case.hex("identity"), found.identity())
    same("weight", case.number("weight"), found.weight())
    by_members = list(found.signed_by_members())
    by_owners = found.action.signatures if isinstance(found.action, system.Change) else ()
    signed = case.objects("signed")
    same("signatures", len(signed), len(by_members) + len(by_owners))
    for one in signed:
        owner, key, message, signature = (
            one.optional_number("owner"),
            one.hex("by"),
            one.hex("message"),
            one.hex("signature"),
        )
        if owner is None:
            same("signed by a member", (key, message, signature), by_members.pop(0))
        else:
            assert isinstance(found.action, system.Change)
            same("the owner", trusted.governance.owners[owner], key)
            same("signed by an owner", (owner, signature), by_owners[0])
            same("message of the owners", message, found.action.message(trusted.digest()))
            by_owners = by_owners[1:]
        check_signing(key, message, signature)
        one.end()


def check_refused_system_request(case: Fields, trusted: genesis.Genesis) -> None:
    case.text("name")
    data = case.hex("bytes")
    same("verdict", case.text("verdict"), verdict_of(lambda: system.check_system_request(data, trusted)))


# proof_files.json


def check_proof_files(document: Fields, report: Report) -> None:
    report.objects(document, "files", check_proof_file)


def check_proof_file(case: Fields) -> None:
    case.text("name")
    data, trusted, verdict = case.hex("bytes"), case.hex("genesis"), case.text("verdict")
    proven: Optional[proof_files.Proven] = None
    found = "accepted"
    try:
        file = proof_files.decode_file(data)
        same("encoding", data, file.encode())
        proven = proof_files.judge(file, trusted)
    except Refused as refused:
        found = refused.reason
    same("verdict", verdict, found)
    if proven is None:
        same("proven", None, case.take("proven"))
        return
    shown = case.object("proven")
    same("members_digest", shown.hex("members_digest"), members.members_digest(proven.members))
    same("head", shown.optional_hex("head"), None if proven.head is None else proven.head.encode())
    same("older", shown.hex_list("older"), [result.encode() for result in proven.older])
    records = [(each.number("height"), each.text("key"), each.optional_hex("value")) for each in shown.objects("records")]
    same("records", records, list(proven.records))
    same("receipts", shown.hex_list("receipts"), [receipt.encode() for receipt in proven.receipts])
    absences = [(each.hex("identity"), each.number("first"), each.number("last")) for each in shown.objects("absences")]
    same("absences", absences, list(proven.absences))
    convictions = shown.objects("convictions")
    same("convictions", len(convictions), len(proven.convictions))
    for expected, conviction in zip(convictions, proven.convictions):
        same("digest", expected.hex("digest"), conviction.digest)
        same("member", expected.hex("member"), conviction.member.encode())
        same("strength", expected.text("strength"), conviction.strength)
    fork = None if proven.fork is None else [result.encode() for result in proven.fork]
    same("fork", shown.hex_list("fork"), fork or [])
    shown.end()


# arguments.json


def check_arguments(document: Fields, report: Report) -> None:
    report.objects(document, "accepted", check_accepted_arguments)
    report.objects(document, "refused", check_refused_arguments)
    for text in document.text_list("descriptions"):
        report.case(f"description {text[:20]!r}", lambda: drop(arguments.describe(text)))
    for text in document.text_list("no_descriptions"):
        check = lambda: same("verdict", "refused", verdict_of(lambda: arguments.describe(text)))  # noqa: E731
        report.case(f"no description {text[:20]!r}", check)


def drop(_: object) -> None:
    """What was read is of no more use."""


def check_accepted_arguments(case: Fields) -> None:
    described = arguments.describe(case.text("description"))
    same("bytes", case.hex("bytes"), arguments.encode_words(described, case.text_list("words")))


def check_refused_arguments(case: Fields) -> None:
    described, words = arguments.describe(case.text("description")), case.text_list("words")
    same("verdict", "refused", verdict_of(lambda: arguments.encode_words(described, words)))


# key_files.json


def check_key_files(document: Fields, report: Report) -> None:
    report.objects(document, "written", check_written_key_file)
    read = document.object("read")
    seed = read.hex("seed")
    for text in read.text_list("texts"):
        report.case(f"read {text[-12:]!r}", lambda: same("seed", seed, files.seed_of_key_file(text)))
    read.end()
    for number, text in enumerate(document.text_list("refused")):
        check = lambda: same("verdict", "refused", verdict_of(lambda: files.seed_of_key_file(text)))  # noqa: E731
        report.case(f"refused[{number}]", check)


def check_written_key_file(case: Fields) -> None:
    text, seed = case.text("text"), case.hex("seed")
    same("text", text, files.key_file(seed))
    same("seed", seed, files.seed_of_key_file(text))
    same("key", case.hex("key"), signatures.key_of_seed(seed))


# descriptions.json


def check_descriptions(document: Fields, report: Report) -> None:
    report.objects(document, "descriptions", check_description)


def check_description(case: Fields) -> None:
    case.text("name")
    description = descriptions.description_of_document(case.take("description"))
    same("signed", case.hex("signed"), description.message())
    same("verdict", case.text("verdict"), verdict_of(description.check))


# messages.json


def check_messages(document: Fields, report: Report) -> None:
    report.objects(document, "accepted", check_message)
    report.objects(document, "refused", check_no_message)
    report.objects(document, "contents", check_content)


def check_message(case: Fields) -> None:
    encoded = case.hex("bytes")
    same("message", case.take("says"), messages.decode_message(encoded))
    if encoded[0] != 0:
        # A request is all that follows, whatever it is.
        must_be_refused("a byte less", lambda: messages.decode_message(encoded[:-1]))
        must_be_refused("a byte more", lambda: messages.decode_message(encoded + b"\x00"))


def check_no_message(case: Fields) -> None:
    case.text("name")
    encoded = case.hex("bytes")
    must_be_refused("it", lambda: messages.decode_message(encoded))


def check_content(case: Fields) -> None:
    kind, encoded = case.text("kind"), case.hex("bytes")
    same(kind, encoded, messages.decode_content(kind, encoded))


# http.json


def check_http(document: Fields, report: Report) -> None:
    report.objects(document, "examples", check_example)


def check_example(case: Fields) -> None:
    http.check(case.text("schema"), case.take("json"))


CHECKS: dict[str, Callable[[Fields, Report], None]] = {
    "signatures.json": check_signatures,
    "proofs.json": check_proofs,
    "records.json": check_records,
    "keys.json": check_keys,
    "genesis.json": check_genesis_file,
    "partitions.json": check_partitions,
    "requests.json": check_requests,
    "blocks.json": check_blocks,
    "certificates.json": check_certificates,
    "receipts.json": check_receipts,
    "absence.json": check_absence,
    "history.json": check_history,
    "evidence.json": check_evidence,
    "system.json": check_system,
    "proof_files.json": check_proof_files,
    "arguments.json": check_arguments,
    "key_files.json": check_key_files,
    "descriptions.json": check_descriptions,
    "messages.json": check_messages,
    "http.json": check_http,
}
