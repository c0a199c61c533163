//! The border between an operation and its host: the import namespace `pleach_v1`.
//!
//! All parameters and results are `i32`, read as unsigned. A "read" function copies `min(length, cap)` bytes
//! to `dst` and returns the full length, or [`ABSENT`]. Misuse stops the operation with a refusal; no function
//! ever returns garbage. A later version of the ABI is a namespace of its own, and this one stays.

/// The namespace of all imports.
pub const NAMESPACE: &str = "pleach_v1";
/// The version that `ctx_read` reports.
pub const VERSION: u32 = 1;
/// The export that an execution calls, of type `() -> ()`.
pub const RUN: &str = "pleach_run";
/// The export called before [`RUN`] where there is one: reactors of other toolchains have it.
pub const INITIALIZE: &str = "_initialize";
/// The export that names the operation's memory.
pub const MEMORY: &str = "memory";
/// The custom section that describes the arguments; see [`crate::schema`].
pub const ARGUMENTS_SECTION: &str = "pleach.args";
/// What a read of something that is not there returns: -1.
pub const ABSENT: u32 = u32::MAX;

/// The global that counts gas down, added by rewriting.
pub(crate) const GAS: &str = "pleach_gas";
/// The global that counts stack slots down, added by rewriting.
pub(crate) const STACK: &str = "pleach_stack";
/// Exports of this prefix are ours: an operation must not have any but [`RUN`].
pub(crate) const RESERVED_PREFIX: &str = "pleach_";

/// What `ctx_read` can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The key of the operation.
    Operation,
    /// The domain of the operation, with its `/`.
    Domain,
    /// The identity of the request, 32 bytes.
    Identity,
    /// The height of the block, a `u64`.
    Height,
    /// The genesis of the cluster, 32 bytes.
    Genesis,
    /// [`VERSION`], a `u32`.
    AbiVersion,
    /// The place of the call in its request, a `u32`.
    Call,
}

impl Field {
    /// The field of a number; none for a number that later hosts may give a meaning.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Operation,
            1 => Self::Domain,
            2 => Self::Identity,
            3 => Self::Height,
            4 => Self::Genesis,
            5 => Self::AbiVersion,
            6 => Self::Call,
            _ => return None,
        })
    }
}

/// The shape of a host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name within [`NAMESPACE`].
    pub name: &'static str,
    /// How many `i32` it takes.
    pub parameters: usize,
    /// What each of them is called: the names say what they mean (`docs/abi.md`), and the C header declares pointers by them.
    pub names: &'static [&'static str],
    /// Whether it returns an `i32`.
    pub returns: bool,
}

/// Hands the list of all host functions to a macro: the checker, the interpreter and the compiler are all
/// generated from this one list, so they cannot disagree.
macro_rules! host_functions {
    ($with:ident) => {
        $with! {
            args_read(dst, cap) -> u32;
            rec_open(key, key_len) -> u32;
            rec_count() -> u32;
            rec_key(handle, dst, cap) -> u32;
            rec_get(handle, dst, cap) -> u32;
            rec_put(handle, ptr, len) -> ();
            rec_del(handle) -> ();
            ctx_read(field, dst, cap) -> u32;
            signer_count() -> u32;
            signer_read(index, dst) -> ();
            ed25519_verify(key, message, len, signature) -> u32;
            blake3(ptr, len, dst) -> ();
            ret(ptr, len) -> ();
            event(topic, topic_len, data, data_len) -> ();
            log(ptr, len) -> ();
            abort(code, ptr, len) -> ();
        }
    };
}
pub(crate) use host_functions;

macro_rules! imports {
    ($($name:ident($($parameter:ident),*) -> $result:tt;)*) => {
        /// Every host function.
        pub const IMPORTS: &[Import] = &[$(Import {
            name: stringify!($name),
            parameters: <[&str]>::len(&[$(stringify!($parameter)),*]),
            names: &[$(stringify!($parameter)),*],
            returns: returns!($result),
        }),*];
    };
}
macro_rules! returns {
    (u32) => {
        true
    };
    (()) => {
        false
    };
}
host_functions!(imports);

/// The host function of a name.
#[must_use]
pub fn import(name: &str) -> Option<&'static Import> {
    IMPORTS.iter().find(|import| import.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_the_shapes_of_the_abi() {
        let shape = |name| import(name).map(|i| (i.names, i.returns));
        assert_eq!(shape("rec_get"), Some((&["handle", "dst", "cap"][..], true)));
        assert_eq!(shape("rec_count"), Some((&[][..], true)));
        assert_eq!(shape("abort"), Some((&["code", "ptr", "len"][..], false)));
        assert_eq!(import("ed25519_verify").map(|i| i.parameters), Some(4));
        assert_eq!(import("fd_write"), None);
    }
}
