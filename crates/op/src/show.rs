//! Messages without `core::fmt`, which would be most of a small module.

use alloc::string::String;

/// What can be part of a message.
pub trait Show {
    /// Appends the text.
    fn show(&self, out: &mut String);
}

impl Show for str {
    fn show(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl Show for String {
    fn show(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl<T: Show + ?Sized> Show for &T {
    fn show(&self, out: &mut String) {
        (*self).show(out);
    }
}

impl Show for u64 {
    fn show(&self, out: &mut String) {
        let mut digits = [b'0'; 20];
        let (mut at, mut rest) = (digits.len() - 1, *self);
        while rest >= 10 {
            digits[at] += (rest % 10) as u8;
            rest /= 10;
            at -= 1;
        }
        digits[at] += rest as u8;
        digits[at..].iter().for_each(|digit| out.push(char::from(*digit)));
    }
}

/// A message of parts.
#[must_use]
pub fn text(parts: &[&dyn Show]) -> String {
    let mut out = String::new();
    parts.iter().for_each(|part| part.show(&mut out));
    out
}
