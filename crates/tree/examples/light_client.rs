//! A client that stores 32 bytes and believes nobody: it asks a server for balances, checks each answer against the
//! root it trusts, and notices every lie.
//!
//! Run it with `cargo run -p pleach-tree --example light_client`.

use pleach_tree::{Label, Proof, ProofLimits, Tree, ValueDigest};

/// What goes over the wire: values, and one proof for all of them.
struct Reply {
    values: Vec<Option<String>>,
    proof: Vec<u8>,
}

fn serve(tree: &Tree, keys: &[&str]) -> Reply {
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let values = keys.iter().map(|key| tree.get(key.as_bytes()).map(text)).collect();
    Reply { values, proof: tree.prove(keys).encode() }
}

/// Accepts a reply if all of it follows from `root`.
fn check(root: Label, keys: &[&str], reply: &Reply) -> Result<(), Box<dyn std::error::Error>> {
    let proof = Proof::decode(&reply.proof, &ProofLimits::default())?.verify(root)?;
    if keys.len() != reply.values.len() {
        return Err("not one value for each key".into());
    }
    for (key, value) in keys.iter().zip(&reply.values) {
        let proved = proof.get(key.as_bytes())?;
        if proved != value.as_ref().map(|value| ValueDigest::of(value.as_bytes())) {
            return Err(format!("the value of {key} is not the proved one").into());
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let balances = (0..10_000).map(|i| (format!("account {i}").into(), format!("{}", i * 3).into()));
    let mut server: Tree = balances.collect();
    let root = server.root();
    let keys = ["account 7", "account 4711", "account of nobody"];

    let honest = serve(&server, &keys);
    check(root, &keys, &honest)?;
    println!("{} accounts, root {root}", server.len());
    println!("{} bytes of proof for {} keys, checked:", honest.proof.len(), keys.len());
    for (key, value) in keys.iter().zip(&honest.values) {
        println!("  {key}: {}", value.as_deref().unwrap_or("absent"));
    }

    // Each of these a client that checks signatures alone would believe.
    let mut wrong_value = serve(&server, &keys);
    wrong_value.values[0] = Some("1000000".into());
    let mut hidden = serve(&server, &keys);
    hidden.values[1] = None;
    let mut flipped = serve(&server, &keys);
    flipped.proof[300] ^= 1;
    server.insert("account 7", "22");
    let outdated = serve(&server, &keys);
    let lies = [
        ("a wrong value", wrong_value),
        ("a hidden record", hidden),
        ("a flipped bit", flipped),
        ("another tree", outdated),
    ];
    for (what, reply) in lies {
        let error = check(root, &keys, &reply).err().ok_or("a lie was believed")?;
        println!("{what}: refused, {error}");
    }
    Ok(())
}
