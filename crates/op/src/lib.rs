//! For writing operations in Rust.
//!
//! An operation is a function. Its arguments are decoded from the request, and their description becomes part
//! of the module, so that clients can encode them from a command line:
//!
//! ```
//! use pleach_op::{Record, abort, operation};
//!
//! operation! {
//!     /// Counts up, from nothing to at most `limit`.
//!     fn count(name: &str, limit: u64) {
//!         let record = Record::in_domain(&["counters/", name]);
//!         let count = match record.get() {
//!             None => 0,
//!             Some(bytes) => pleach_op::u64_of(&bytes).unwrap_or_else(|| abort!(300, name, " is not a counter")),
//!         };
//!         if count >= limit {
//!             abort!(301, name, " has reached ", limit);
//!         }
//!         record.put(&(count + 1).to_le_bytes());
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Records are opened by key, and only those that the request lists: a client that runs the operation first,
//! as `pleach call` does, finds out which. Build for `wasm32v1-none` with `-Clink-arg=-zstack-size=16384` and
//! `opt-level = 3`: nodes interpret, so what is not inlined costs them time. `operations/` is a workspace that does.
//! There is no `core::fmt` in here: it would be most of a module.
//!
//! On other targets the same functions run against `native::Database`, which has the nodes' own host in it, so operations can be
//! tested with plain `cargo test`.

#![no_std]

extern crate alloc;
#[cfg(not(target_arch = "wasm32"))]
extern crate std;

pub mod arguments;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
mod record;
#[cfg(target_arch = "wasm32")]
mod runtime;
mod show;
#[cfg(target_arch = "wasm32")]
#[path = "wasm.rs"]
mod sys;
#[cfg(not(target_arch = "wasm32"))]
use native::sys;

use alloc::string::String;
use alloc::vec::Vec;

pub use arguments::{Argument, PublicKey, Reader};
pub use record::Record;
pub use show::{Show, text};

/// Codes with which the SDK itself aborts. Operations use 256 and above.
pub mod codes {
    /// The arguments are not what the operation's signature says.
    pub const ARGUMENTS: u32 = 1;
    /// The operation panicked: an index out of range, an overflow, a failed `unwrap`.
    pub const PANIC: u32 = 2;
    /// The message with which [`PANIC`] comes, but for builds with debug assertions, where it has the panic's place and text: what
    /// writes those is larger than most operations.
    pub(crate) const PANICKED: &str = "the operation panicked";
    /// A required signature is not there.
    pub const SIGNATURE: u32 = 3;
}

/// Ends the operation without effect. The message is what the caller will read.
pub fn abort(code: u32, message: &str) -> ! {
    sys::abort(code, message.as_bytes())
}

/// Ends the operation without effect, with a message put together from texts and numbers:
/// `abort!(300, "insufficient funds: ", name, " has ", balance)`.
#[macro_export]
macro_rules! abort {
    ($code:expr $(, $part:expr)+ $(,)?) => {
        $crate::abort($code, &$crate::text(&[$(&$part as &dyn $crate::Show),+]))
    };
}

/// Sets what the operation returns; the last call counts.
pub fn output(bytes: &[u8]) {
    sys::ret(bytes);
}

/// Announces something in the receipt.
pub fn event(topic: &str, data: &[u8]) {
    sys::event(topic.as_bytes(), data);
}

/// Says something to whoever debugs the operation; nodes drop it, at the same price.
pub fn log(message: &str) {
    sys::log(message.as_bytes());
}

/// The argument bytes of the request; [`operation!`] decodes them.
#[must_use]
pub fn arguments() -> Vec<u8> {
    sized(sys::args_read(&mut []), |room| {
        sys::args_read(room);
    })
}

/// The key of the running operation.
#[must_use]
pub fn operation_key() -> String {
    context_text(0)
}

/// The domain of the running operation, with its `/`: what it may write. Empty for a key of one part.
#[must_use]
pub fn domain() -> String {
    context_text(1)
}

/// The identity of the request.
#[must_use]
pub fn identity() -> [u8; 32] {
    context_array(2)
}

/// The height of the block that is being executed: the only clock there is.
#[must_use]
pub fn height() -> u64 {
    u64::from_le_bytes(context_array(3))
}

/// The digest of the cluster's genesis.
#[must_use]
pub fn genesis() -> [u8; 32] {
    context_array(4)
}

/// The version of the interface to the host.
#[must_use]
pub fn interface_version() -> u32 {
    u32::from_le_bytes(context_array(5))
}

/// The place of the call in its request, 0 and up.
#[must_use]
pub fn call_place() -> u32 {
    u32::from_le_bytes(context_array(6))
}

/// The keys that signed the request. The node has verified the signatures.
#[must_use]
pub fn signers() -> Vec<PublicKey> {
    (0..sys::signer_count()).map(|i| PublicKey(sys::signer_read(i))).collect()
}

/// Whether a key signed the request.
#[must_use]
pub fn is_signer(key: &PublicKey) -> bool {
    (0..sys::signer_count()).any(|i| sys::signer_read(i) == key.0)
}

/// Aborts unless a key signed the request; `who` says whose signature is missing.
pub fn require_signer(key: &PublicKey, who: &str) {
    if !is_signer(key) {
        abort!(codes::SIGNATURE, "not signed by ", who);
    }
}

/// Whether a signature over a message is a key's (Ed25519, ZIP-215). Signatures of the request itself are
/// cheaper: see [`is_signer`].
#[must_use]
pub fn ed25519_verify(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    sys::ed25519_verify(&key.0, message, signature)
}

/// The BLAKE3 digest of bytes.
#[must_use]
pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    sys::blake3(bytes)
}

/// A little-endian number of eight bytes; none for other lengths.
#[must_use]
pub fn u64_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Whether text can be one part of a key: not empty, without `/` and control characters, not starting with a
/// dot (those parts have a meaning of their own).
#[must_use]
pub fn is_part(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.chars().any(|c| c == '/' || c.is_control())
}

fn context_text(field: u32) -> String {
    let bytes = sized(sys::ctx_read(field, &mut []).unwrap_or(0), |room| {
        sys::ctx_read(field, room);
    });
    // Keys are text; the host has checked them.
    String::from_utf8(bytes).unwrap_or_default()
}

fn context_array<const N: usize>(field: u32) -> [u8; N] {
    let mut array = [0; N];
    sys::ctx_read(field, &mut array);
    array
}

/// A buffer of `len` bytes, filled.
fn sized(len: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = alloc::vec![0; len];
    if len > 0 {
        fill(&mut bytes);
    }
    bytes
}

/// Makes a function the operation of this crate: exports it, decodes its arguments, and describes them in the
/// module. See the [crate's documentation](crate).
#[macro_export]
macro_rules! operation {
    ($(#[$meta:meta])* fn $name:ident($($argument:ident : $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        fn $name($($argument: $ty),*) $body

        /// Decodes the arguments and runs the operation.
        #[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
        pub extern "C-unwind" fn pleach_run() {
            let bytes = $crate::arguments();
            let mut reader = $crate::Reader::new(&bytes);
            $(let $argument: $ty = $crate::arguments::read(&mut reader, stringify!($argument));)*
            reader.finish();
            $name($($argument),*);
        }

        /// Describes the arguments, as `name: type` separated by commas.
        pub const ARGUMENTS: $crate::arguments::Text = $crate::arguments::Text::EMPTY
            $(.argument(stringify!($argument), &<$ty as $crate::Argument>::SCHEMA))*;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "pleach.args")]
            static SECTION: [u8; ARGUMENTS.len()] = ARGUMENTS.bytes();
        };
    };
}
