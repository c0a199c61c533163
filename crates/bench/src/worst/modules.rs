//! Operations that are made to be dear.

use bytes::Bytes;

use crate::prices;

/// Copies of each cold module, which differ in a byte: more than a block may translate.
pub const EACH: usize = 9;

/// The cold modules: name of the record, and the kind of block that runs them. What they are is in [`prices`].
pub const COLD: [(&str, &str); 5] = [
    ("cold-empty", "cold modules: 4,000 empty functions"),
    ("cold-locals", "cold modules: 4,000 functions of 512 variables"),
    ("cold-if", "cold modules: if and else"),
    ("cold-elements", "cold modules: passive elements"),
    ("cold-blocks", "cold modules: blocks"),
];

fn compiled(name: &str, module: &str) -> Result<Bytes, String> {
    wat::parse_str(module).map(Bytes::from).map_err(|e| format!("{name}: {e}"))
}

/// The operations that run warm.
pub fn warm() -> Result<Vec<(&'static str, Bytes)>, String> {
    let import = |name: &str, shape: &str| format!("(import \"pleach_v1\" \"{name}\" (func ${name} {shape}))");
    // Arguments are read to the beginning of the memory, and what is put out is taken from 16 on, zeros as they are: the time is the host's, not the
    // module's.
    let put = |pages: u32| {
        format!(
            "(module {} {} {} (memory (export \"memory\") {pages})
               (func (export \"pleach_run\") (local $i i32) (local $n i32)
                 (drop (call $args_read (i32.const 0) (i32.const 4)))
                 (local.set $n (call $rec_count))
                 (loop (if (i32.lt_u (local.get $i) (local.get $n)) (then
                   (call $rec_put (local.get $i) (i32.const 16) (i32.load (i32.const 0)))
                   (local.set $i (i32.add (local.get $i) (i32.const 1))) (br 1))))))",
            import("args_read", "(param i32 i32) (result i32)"),
            import("rec_count", "(result i32)"),
            import("rec_put", "(param i32 i32 i32)"),
        )
    };
    let ret = format!(
        "(module {} {} {} (memory (export \"memory\") 2)
           (func (export \"pleach_run\")
             (drop (call $args_read (i32.const 0) (i32.const 8)))
             (call $ret (i32.const 16) (i32.load (i32.const 0)))
             (call $event (i32.const 16) (i32.const 0) (i32.const 16) (i32.load (i32.const 4)))))",
        import("args_read", "(param i32 i32) (result i32)"),
        import("ret", "(param i32 i32)"),
        import("event", "(param i32 i32 i32 i32)"),
    );
    // The instruction that takes longest for its gas (`--prices`), so often that the jump back is a small part.
    let dearest = "(local.set 0 (f32.nearest (local.get 0)))".repeat(200);
    let run = |parts: &str| format!("(module (memory (export \"memory\") 1) {parts} (func (export \"pleach_run\")))");
    let spin = format!(
        "(module (memory (export \"memory\") 1) (func (export \"pleach_run\") (local f32) (loop {dearest} (br 0))))"
    );
    let all = [
        ("spin", spin),
        ("nothing", run("")),
        ("functions", run(&"(func)".repeat(4_000))),
        ("segments", run(&format!("(table 1 funcref) {}", "(elem (i32.const 0) func)".repeat(1_000)))),
        ("pages", run("").replace("\"memory\") 1", "\"memory\") 64")),
        ("put", put(1)),
        // Room for the largest value behind the arguments: a page more than 1 MiB.
        ("put-large", put(17)),
        ("ret", ret),
    ];
    all.into_iter().map(|(name, module)| Ok((name, compiled(name, &module)?))).collect()
}

/// The operations that are never warm.
pub fn cold() -> Result<Vec<(String, Bytes)>, String> {
    let modules = prices::modules();
    let of = |name: &str| modules.iter().find(|(known, _)| known == name).map(|(_, module)| module);
    let mut all = Vec::new();
    for (name, kind) in COLD {
        let known = kind.trim_start_matches("cold modules: ");
        let code = compiled(name, of(known).ok_or_else(|| format!("there is no module of {known}"))?)?;
        // A custom section of one byte makes each of them another one.
        let copy = |n: usize| Bytes::from([&code[..], &[0, 3, 1, b'n', n as u8]].concat());
        all.extend((0..EACH).map(|n| (format!("{name}-{n}"), copy(n))));
    }
    Ok(all)
}
