//! The host's functions, made safe: slices instead of pointers.

mod raw {
    #[link(wasm_import_module = "pleach_v1")]
    unsafe extern "C" {
        pub fn args_read(dst: *mut u8, cap: usize) -> usize;
        pub fn rec_open(key: *const u8, len: usize) -> u32;
        pub fn rec_count() -> u32;
        pub fn rec_key(handle: u32, dst: *mut u8, cap: usize) -> usize;
        pub fn rec_get(handle: u32, dst: *mut u8, cap: usize) -> usize;
        pub fn rec_put(handle: u32, ptr: *const u8, len: usize);
        pub fn rec_del(handle: u32);
        pub fn ctx_read(field: u32, dst: *mut u8, cap: usize) -> usize;
        pub fn signer_count() -> u32;
        pub fn signer_read(index: u32, dst: *mut u8);
        pub fn ed25519_verify(key: *const u8, message: *const u8, len: usize, signature: *const u8) -> u32;
        pub fn blake3(ptr: *const u8, len: usize, dst: *mut u8);
        pub fn ret(ptr: *const u8, len: usize);
        pub fn event(topic: *const u8, topic_len: usize, data: *const u8, data_len: usize);
        pub fn log(ptr: *const u8, len: usize);
        pub fn abort(code: u32, ptr: *const u8, len: usize);
    }
}

/// What a read of something absent returns: -1.
fn present(len: usize) -> Option<usize> {
    if len == usize::MAX { None } else { Some(len) }
}

// SAFETY, for every block below: the host reads and writes no more than the length it is given, and pointer and
// length come from one slice, which is exclusive wherever the host writes. The host keeps no pointer.

pub fn args_read(dst: &mut [u8]) -> usize {
    // SAFETY: see above.
    unsafe { raw::args_read(dst.as_mut_ptr(), dst.len()) }
}

pub fn rec_open(key: &[u8]) -> u32 {
    // SAFETY: see above.
    unsafe { raw::rec_open(key.as_ptr(), key.len()) }
}

pub fn rec_count() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { raw::rec_count() }
}

pub fn rec_key(handle: u32, dst: &mut [u8]) -> usize {
    // SAFETY: see above.
    unsafe { raw::rec_key(handle, dst.as_mut_ptr(), dst.len()) }
}

pub fn rec_get(handle: u32, dst: &mut [u8]) -> Option<usize> {
    // SAFETY: see above.
    present(unsafe { raw::rec_get(handle, dst.as_mut_ptr(), dst.len()) })
}

pub fn rec_put(handle: u32, value: &[u8]) {
    // SAFETY: see above.
    unsafe { raw::rec_put(handle, value.as_ptr(), value.len()) }
}

pub fn rec_del(handle: u32) {
    // SAFETY: no memory is involved.
    unsafe { raw::rec_del(handle) }
}

pub fn ctx_read(field: u32, dst: &mut [u8]) -> Option<usize> {
    // SAFETY: see above.
    present(unsafe { raw::ctx_read(field, dst.as_mut_ptr(), dst.len()) })
}

pub fn signer_count() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { raw::signer_count() }
}

pub fn signer_read(index: u32) -> [u8; 32] {
    let mut key = [0; 32];
    // SAFETY: the host writes 32 bytes.
    unsafe { raw::signer_read(index, key.as_mut_ptr()) };
    key
}

pub fn ed25519_verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    // SAFETY: the host reads 32 and 64 bytes, and see above.
    unsafe { raw::ed25519_verify(key.as_ptr(), message.as_ptr(), message.len(), signature.as_ptr()) != 0 }
}

pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    // SAFETY: the host writes 32 bytes, and see above.
    unsafe { raw::blake3(bytes.as_ptr(), bytes.len(), digest.as_mut_ptr()) };
    digest
}

pub fn ret(bytes: &[u8]) {
    // SAFETY: see above.
    unsafe { raw::ret(bytes.as_ptr(), bytes.len()) }
}

pub fn event(topic: &[u8], data: &[u8]) {
    // SAFETY: see above.
    unsafe { raw::event(topic.as_ptr(), topic.len(), data.as_ptr(), data.len()) }
}

pub fn log(message: &[u8]) {
    // SAFETY: see above.
    unsafe { raw::log(message.as_ptr(), message.len()) }
}

pub fn abort(code: u32, message: &[u8]) -> ! {
    // SAFETY: see above.
    unsafe { raw::abort(code, message.as_ptr(), message.len()) };
    // The host does not come back.
    core::arch::wasm32::unreachable()
}
