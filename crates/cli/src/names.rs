//! Names that look like others.
//!
//! A key is any text, and `bank` with a Cyrillic `а` is another domain than `bank`. No node can tell which of the two is meant, so
//! whoever types or copies such a name is shown what is in it.

use pleach_types::Key;

use crate::errors::CliError;
use crate::output::Output;

/// What makes a key look like another one: the first character that is not of ASCII, or a blank at an end of one of its parts.
fn strange(key: &Key) -> Option<String> {
    let text = key.as_str();
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii()) {
        return Some(format!("the character {c:?} at byte {at} is U+{:04X} and not of ASCII", c as u32));
    }
    let blank = text.split('/').find(|part| part.starts_with(' ') || part.ends_with(' '))?;
    Some(format!("the part {blank:?} has a blank at its end"))
}

/// Refuses to create a domain whose name looks like another one, unless that is what is wanted.
///
/// # Errors
/// What makes it look so.
pub fn check_new(name: &Key, wanted: bool) -> Result<(), CliError> {
    match strange(name) {
        Some(why) if !wanted => Err(CliError::usage(
            format!("domain {name}: {why}: others may take it for a domain whose name looks alike"),
            "choose a name of plain characters, or add --any-name",
        )),
        _ => Ok(()),
    }
}

/// Shows what is strange in a key that is read or called.
pub fn show(output: Output, keys: &[Key]) {
    for (key, why) in keys.iter().filter_map(|key| Some((key, strange(key)?))) {
        output.talk(format_args!("note: in {key} {why}; names that look alike are different names"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_another_name_is_told() {
        let told = |text: &str| strange(&Key::new(text).unwrap_or_else(|e| panic!("{e}")));
        for plain in ["bank", "bank/alice", ".cluster", "a b/c", "Bank_2.0-x/~"] {
            assert_eq!(told(plain), None, "{plain}");
        }
        for (text, part) in [
            ("b\u{0430}nk", "'а' at byte 1 is U+0430"),
            ("bank/\u{ff42}ob", "at byte 5 is U+FF42"),
            ("cafe\u{301}", "at byte 4 is U+0301"),
            ("bank /alice", "the part \"bank \" has a blank"),
            ("bank/ alice", "the part \" alice\" has a blank"),
        ] {
            assert!(told(text).is_some_and(|why| why.contains(part)), "{text}: {:?}", told(text));
        }
    }
}
