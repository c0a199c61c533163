//! Keys against a table and a naive rule (threat W9): path tricks, unicode forms, and who may write what.

use pleach_types::key::{BASE_RULE, ROOT_RULE};
use pleach_types::limits::KEY_BYTES_MAX;
use pleach_types::{Decode, Encode, Key, KeyError};
use proptest::prelude::*;

/// Texts that are keys.
const ACCEPTED: &[&str] = &[
    "a",
    "A",
    "0",
    "-",
    "_",
    "~",
    "a b",
    " ",
    " a",
    "a ",
    "a/b",
    "a/ /b",
    "a/b/c/d/e/f/g/h",
    "bank/transfer",
    "bank/accounts/alice",
    "bank/.owner",
    "bank/.base_rule",
    ".root_rule",
    ".base_rule",
    ".cluster",
    ".a",
    "..a",
    "...",
    "a..",
    "a.",
    "a.b",
    "a..b",
    ".../...",
    "a/...",
    "a/..b",
    "a/b..",
    "a/.b",
    "a/b.",
    "%2e%2e",
    "%2F",
    "a%2fb",
    "a%00",
    "\\",
    "a\\b",
    "..\\a",
    "a\\..\\b",
    "C:",
    "C:\\a",
    "a:b",
    "a;b",
    "a?b",
    "a#b",
    "a&b",
    "a=b",
    "a+b",
    "a,b",
    "a|b",
    "a*b",
    "a<b>",
    "a\"b",
    "a'b",
    "`a`",
    "$(a)",
    "${a}",
    "{{a}}",
    "a@b",
    "[a]",
    "{a}",
    "(a)",
    "!",
    "http:",
    "é",
    "e\u{301}",
    "\u{301}",
    "ñ",
    "n\u{303}",
    "Å",
    "A\u{30a}",
    "\u{212b}",
    "ﬁ",
    "fi",
    "ß",
    "ẞ",
    "SS",
    "İ",
    "ı",
    "K",
    "\u{212a}",
    "ª",
    "а",
    "ο",
    "Ａ",
    "／",
    "a／b",
    "∕",
    "a∕b",
    "⁄",
    "．",
    "．．",
    "a/．．/b",
    "․",
    "‥",
    "…",
    "‚",
    "α/β",
    "中文/键",
    "日本語",
    "한국어",
    "עברית",
    "العربية",
    "हिन्दी",
    "ไทย",
    "😀",
    "👍🏽",
    "a/😀/b",
    "\u{10FFFF}",
    "\u{E000}",
    "\u{FFFD}",
    "\u{FFFF}",
    "\u{D7FF}",
    "\u{A1}",
    "~/a",
    "-rf",
    "--",
    "null",
    "NaN",
    "0x",
    "1e9",
    "key with many words in it",
];

/// Texts that are not.
const REFUSED: &[&str] = &[
    "",
    "/",
    "//",
    "///",
    "/a",
    "a/",
    "a//",
    "//a",
    "a//b",
    "a///b",
    "/a/",
    "a/b/",
    "/a/b",
    "a/b//c",
    "a//b//c",
    " /",
    "/ ",
    ".",
    "..",
    "./",
    "../",
    "/.",
    "/..",
    "./a",
    "../a",
    "a/.",
    "a/..",
    "a/./b",
    "a/../b",
    "../../a",
    "a/../../b",
    ".//",
    "bank/../shop/x",
    "bank/./x",
    "bank/.",
    "a/b/..",
    "a/b/.",
    "./.",
    "../..",
    "\0",
    "a\0",
    "\0a",
    "a\0b",
    "a\tb",
    "\t",
    "\n",
    "a\n",
    "a\r",
    "\r\n",
    "a\u{1}",
    "a\u{7}",
    "a\u{8}",
    "a\u{1b}[31m",
    "a\u{1f}",
    "a\u{7f}",
    "\u{80}",
    "a\u{85}b",
    "\u{9f}",
    "a\u{a0}b",
    "\u{a0}",
    "a\u{ad}b",
    "a\u{34f}",
    "\u{61c}a",
    "\u{115f}",
    "\u{1160}",
    "a\u{1680}b",
    "\u{17b4}",
    "\u{17b5}",
    "\u{180b}",
    "\u{180e}",
    "\u{180f}",
    "a\u{2000}b",
    "a\u{2003}b",
    "a\u{2009}b",
    "a\u{200a}b",
    "a\u{200b}b",
    "a\u{200c}b",
    "a\u{200d}b",
    "a\u{200e}b",
    "a\u{200f}b",
    "a\u{2028}b",
    "a\u{2029}b",
    "a\u{202a}b",
    "a\u{202b}b",
    "a\u{202c}b",
    "a\u{202d}b",
    "a\u{202e}b",
    "a\u{202f}b",
    "a\u{205f}b",
    "a\u{2060}b",
    "a\u{2061}b",
    "a\u{2064}b",
    "a\u{2066}b",
    "a\u{2067}b",
    "a\u{2068}b",
    "a\u{2069}b",
    "a\u{206f}b",
    "\u{2800}",
    "a\u{3000}b",
    "\u{3164}",
    "a\u{fe00}",
    "☂\u{fe0f}",
    "\u{feff}a",
    "a\u{feff}",
    "\u{ffa0}",
    "\u{fff0}",
    "a\u{fff9}b",
    "a\u{fffa}b",
    "a\u{fffb}b",
    "\u{1bca0}",
    "\u{1d173}",
    "\u{e0001}",
    "a\u{e0041}",
    "\u{e0100}",
    "\u{e0fff}",
    "👨\u{200d}👩",
    "a/\u{200b}",
    "a/\u{200b}/b",
    "\u{200b}/a",
    ".\u{200b}./a",
    ".\u{2060}.",
];

/// The rule in the plainest words, by scalar value and by hand: sharing nothing with the crate.
fn naive(text: &str) -> bool {
    let blank = [0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x2800, 0x3000];
    let invisible = [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0];
    let ranges = [
        (0, 0x1F),
        (0x7F, 0x9F),
        (0x180B, 0x180F),
        (0x2000, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0xFE00, 0xFE0F),
        (0xFFF0, 0xFFFB),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
        (0xE0000, 0xE0FFF),
    ];
    let visible = |c: char| {
        let n = c as u32;
        !blank.contains(&n) && !invisible.contains(&n) && !ranges.iter().any(|(low, high)| n >= *low && n <= *high)
    };
    let padded = format!("/{text}/");
    let tricks = ["//", "/./", "/../"];
    text.len() <= 512 && text.chars().all(visible) && !tricks.iter().any(|trick| padded.contains(trick))
}

/// `operation` writes `key` if it is not a system record and starts with all that stands before the
/// operation's last part; of the system records only the root rule is an operation.
fn naive_may_write(operation: &str, key: &str) -> bool {
    let mut folders: Vec<_> = operation.split('/').collect();
    folders.pop();
    let parts: Vec<_> = key.split('/').collect();
    let runs = !operation.starts_with('.') || operation == ".root_rule";
    runs && !key.starts_with('.') && parts.len() > folders.len() && parts[..folders.len()] == folders[..]
}

fn accepted() -> impl Iterator<Item = &'static str> {
    ACCEPTED.iter().copied()
}

#[test]
fn the_table_is_as_the_rule_says() {
    assert!(ACCEPTED.len() + REFUSED.len() >= 200);
    for text in accepted() {
        assert!(naive(text), "the naive rule refuses {text:?}");
        assert!(Key::new(text).is_ok(), "{:?}", Key::new(text));
    }
    for text in REFUSED {
        assert!(!naive(text), "the naive rule accepts {text:?}");
        assert!(Key::new(*text).is_err(), "{text:?} is a key");
    }
}

#[test]
fn every_scalar_value_is_decided_as_the_naive_rule_does() {
    for c in '\0'..=char::MAX {
        for text in [c.to_string(), format!("a{c}b"), format!("a/{c}")] {
            assert_eq!(Key::new(&*text).is_ok(), naive(&text), "U+{:04X} in {text:?}", c as u32);
        }
    }
}

#[test]
fn keys_are_bytes_and_not_normalized() {
    for (one, other) in [("é", "e\u{301}"), ("\u{212b}", "Å"), ("ﬁ", "fi"), ("K", "\u{212a}"), ("ß", "SS"), ("a", "а")]
    {
        assert_ne!(Key::new(one).unwrap(), Key::new(other).unwrap(), "{one} {other}");
    }
}

#[test]
fn the_limit_counts_bytes() {
    assert!(Key::new("k".repeat(KEY_BYTES_MAX)).is_ok());
    assert!(Key::new("é".repeat(KEY_BYTES_MAX / 2)).is_ok());
    let over = KeyError::TooLong { actual: KEY_BYTES_MAX + 2 };
    assert_eq!(Key::new("é".repeat(KEY_BYTES_MAX / 2 + 1)), Err(over.clone()));
    assert_eq!(Key::from_bytes(&[0xff; KEY_BYTES_MAX + 2]), Err(over), "the length comes first");
    assert!(Key::new("a/".repeat(KEY_BYTES_MAX / 2 - 1) + "a").is_ok());
}

#[test]
fn errors_show_no_raw_control_characters() {
    for text in REFUSED {
        let error = Key::new(*text).expect_err("refused").to_string();
        assert!(!error.chars().any(char::is_control), "{error:?}");
        assert!(!error.contains('\u{202e}') && !error.contains('\u{200b}'), "{error:?}");
    }
}

#[test]
fn who_may_write_what() {
    let table = [
        ("bank/transfer", "bank/alice", true),
        ("bank/transfer", "bank/accounts/alice", true),
        ("bank/transfer", "bank/transfer", true),
        ("bank/transfer", "bank/.owner", true),
        ("bank/transfer", "bank/.base_rule", true),
        ("bank/transfer", "bank", false),
        ("bank/transfer", "banking/x", false),
        ("bank/transfer", "Bank/x", false),
        ("bank/transfer", "shop/x", false),
        ("bank/transfer", "a/bank/x", false),
        ("bank/transfer", "bank／x", false),
        ("bank/sub/op", "bank/x", false),
        ("bank/sub/op", "bank/sub/x", true),
        ("bank/sub/op", "bank/sub", false),
        ("bank/transfer", ".root_rule", false),
        ("bank/transfer", ".cluster", false),
        ("é/op", "é/x", true),
        ("é/op", "e\u{301}/x", false),
        ("bank/.base_rule", "bank/x", true),
        ("bank/.base_rule", "bank/.base_rule", true),
        ("op", "anything/x", true),
        ("op", "x", true),
        ("op", ".x", false),
        (ROOT_RULE, "bank/.base_rule", true),
        (ROOT_RULE, "bank", true),
        (ROOT_RULE, ROOT_RULE, false),
        (ROOT_RULE, BASE_RULE, false),
        (ROOT_RULE, ".cluster", false),
        // The template is a module that anybody can name as their operation.
        (BASE_RULE, "bank/x", false),
        (BASE_RULE, "x", false),
        (BASE_RULE, BASE_RULE, false),
        (".cluster", ".cluster", false),
        (".cluster", "x", false),
        (".x", "x", false),
    ];
    for (operation, key, allowed) in table {
        assert_eq!(naive_may_write(operation, key), allowed, "the naive rule on {operation:?} and {key:?}");
        let (operation, key) = (Key::new(operation).unwrap(), Key::new(key).unwrap());
        assert_eq!(operation.may_write(&key), allowed, "{operation:?} and {key:?}");
    }
    for operation in accepted() {
        for key in accepted() {
            let may = Key::new(operation).unwrap().may_write(&Key::new(key).unwrap());
            assert_eq!(may, naive_may_write(operation, key), "{operation:?} and {key:?}");
        }
    }
}

#[test]
fn a_domain_is_all_up_to_the_last_slash() {
    for (text, domain) in [("a", ""), ("a/b", "a/"), ("a/b/c", "a/b/"), (".root_rule", ""), ("é/日", "é/")] {
        assert_eq!(Key::new(text).unwrap().domain(), domain, "{text:?}");
    }
}

#[test]
fn json_checks_keys() {
    assert_eq!(serde_json::from_str::<Key>("\"a/b\"").unwrap().as_str(), "a/b");
    for text in REFUSED {
        let json = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<Key>(&json).is_err(), "{json}");
    }
}

/// Text made of what rules are about.
fn tricky() -> impl Strategy<Value = String> {
    let atoms =
        ["/", ".", "..", "a", "b", "é", "\u{301}", "\u{200b}", "\u{202e}", "\0", " ", "／", "\u{a0}", "日", "%2e"];
    prop::collection::vec(prop::sample::select(atoms.to_vec()), 0..8).prop_map(|atoms| atoms.concat())
}

proptest! {
    #[test]
    fn any_text_is_decided_as_the_naive_rule_does(text in prop_oneof![tricky(), any::<String>()]) {
        prop_assert_eq!(Key::new(&*text).is_ok(), naive(&text), "{:?}", text);
    }

    #[test]
    fn any_bytes_are_a_key_exactly_if_they_are_text_that_is(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let expected = std::str::from_utf8(&bytes).is_ok_and(naive);
        prop_assert_eq!(Key::from_bytes(&bytes).is_ok(), expected);
        let encoded = [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat();
        match Key::decode(&encoded) {
            Ok(key) => prop_assert_eq!(key.encode(), encoded),
            Err(_) => prop_assert!(!expected),
        }
    }

    #[test]
    fn writing_is_decided_as_the_naive_rule_does(one in tricky(), other in tricky()) {
        if let (Ok(operation), Ok(key)) = (Key::new(&*one), Key::new(&*other)) {
            prop_assert_eq!(operation.may_write(&key), naive_may_write(&one, &other), "{:?} {:?}", one, other);
        }
    }
}
