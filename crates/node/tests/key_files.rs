//! The test vectors of key files: `vectors/key_files.json`. After a change of the format, on purpose:
//! `PLEACH_FREEZE=1 cargo test -p pleach-node --test key_files`.

#[path = "../../../vectors/rust/compare.rs"]
mod compare;

use pleach_node::config::read_key;
use pleach_testkit::folder::Folder;
use pleach_types::SecretKey;
use serde_json::json;

fn key_of(text: &str) -> Option<SecretKey> {
    let folder = Folder::new();
    let path = folder.write("node.key", text);
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("own file");
    read_key(&path).ok()
}

#[test]
fn key_files_are_as_committed() {
    let seeds: [[u8; 32]; 3] = [[0; 32], [1; 32], std::array::from_fn(|at| 0x9f ^ at as u8)];
    let written = seeds.map(|seed| {
        let secret = SecretKey::from_seed(seed);
        let text = secret.to_text();
        assert_eq!(key_of(&text).expect("a key file").public(), secret.public());
        json!({ "text": text, "seed": hex(&seed), "key": hex(&secret.public().0) })
    });
    let line = SecretKey::from_seed(seeds[2]).to_text().trim_end().to_owned();
    let (head, digits) = line.split_once(':').expect("a line");
    let read =
        [line.clone(), format!("{line}\r\n"), format!("{line} \n\n\t"), format!("{head}:{}\n", digits.to_uppercase())];
    for text in &read {
        assert_eq!(key_of(text).map(|key| key.public()), Some(SecretKey::from_seed(seeds[2]).public()), "{text:?}");
    }
    let refused = [
        String::new(),
        "\n".into(),
        format!(" {line}\n"),
        format!("{digits}\n"),
        format!("pleach-secret-key-2:{digits}\n"),
        format!("{}:{digits}\n", head.to_uppercase()),
        format!("{head}: {digits}\n"),
        format!("{line}0\n"),
        format!("{}\n", &line[..line.len() - 1]),
        format!("{}g\n", &line[..line.len() - 1]),
        format!("{head}:0x{}\n", &digits[2..]),
        format!("{line}\n{line}\n"),
        format!("{line} # my key\n"),
    ];
    for text in &refused {
        assert!(key_of(text).is_none(), "{text:?} is read");
    }
    let same = json!({ "texts": read, "seed": hex(&seeds[2]) });
    compare::compare("key_files", &json!({ "written": written, "read": same, "refused": refused }));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
