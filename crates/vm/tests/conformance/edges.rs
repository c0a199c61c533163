//! Addresses, handles and indices at their edges, for each function of the host's own table: a function that is added there is here.

use pleach_types::PublicKey;
use pleach_types::receipt::{HostMisuse, Refusal};
use pleach_vm::abi::{IMPORTS, Import};

use crate::common::Case;
use crate::script::{Conform, END, Script, script};

/// A part of the memory that a function reads or writes: the places of its parameters.
struct Range {
    /// The address.
    at: usize,
    /// The length; none where it is always the same.
    len: Result<usize, u32>,
}

/// The ranges of a function, by what its parameters are called.
fn ranges(import: &Import) -> Vec<Range> {
    let of = |at: usize, name: &str| {
        let beside = |len: &str| {
            let next = import.names.get(at + 1) == Some(&len);
            next.then_some(Range { at, len: Ok(at + 1) })
        };
        let fixed = |bytes| Some(Range { at, len: Err(bytes) });
        match name {
            "key" => beside("key_len").or(fixed(32)),
            "dst" => beside("cap").or(fixed(32)),
            "ptr" | "message" => beside("len"),
            "topic" => beside("topic_len"),
            "data" => beside("data_len"),
            "signature" => fixed(64),
            _ => None,
        }
    };
    import.names.iter().enumerate().filter_map(|(at, name)| of(at, name)).collect()
}

/// Parameters with which a function does what it is for: the record `bank/a` is listed, its key stands at 0, and somebody signs.
fn usual(import: &Import) -> Vec<u32> {
    let value = |name: &&str| match *name {
        "key_len" => 6,
        "code" => 300,
        _ => 0,
    };
    import.names.iter().map(value).collect()
}

fn surroundings(name: String) -> Script {
    // The key stands at the end of the memory too, for `rec_open` there.
    script(name)
        .data(0, b"bank/a")
        .data(END - 6, b"bank/a")
        .record("bank/a", Some(b"v"))
        .with(|case| case.arguments(&b"arguments"[..]).signers(&[PublicKey([1; 32])]))
}

/// A call that is in order ends like this; what it returns is for the other cases.
fn in_order(import: &Import, script: Script, parameters: &[u32]) -> Conform {
    let script = script.call(import.name, parameters, 0);
    let named = |len: u32| if len == 0 { Some(Refusal::BadKey) } else { None };
    let message = |len: u32| String::from_utf8(b"bank/a"[6 - len as usize..].to_vec()).unwrap();
    let refusal = match import.name {
        "rec_open" => named(parameters[1]),
        "abort" => Some(Refusal::Aborted { code: 300, message: message(parameters[2]) }),
        _ => None,
    };
    match (refusal, import.name) {
        (Some(refusal), _) => script.refused(refusal),
        (None, "rec_put") => {
            let value = &b"bank/a"[6 - parameters[2] as usize..];
            Conform { calls: None, ..script.writes("bank/a", Some(value)).applied() }
        }
        (None, "rec_del") => Conform { calls: None, ..script.writes("bank/a", None).applied() },
        (None, "ret") => {
            let output = &b"bank/a"[6 - parameters[1] as usize..];
            Conform { calls: None, ..script.applied_with(output) }
        }
        (None, "event") => {
            let part = |len: u32| &b"bank/a"[6 - len as usize..];
            Conform { calls: None, ..script.announces(part(parameters[1]), part(parameters[3])).applied() }
        }
        (None, _) => Conform { calls: None, ..script.applied() },
    }
}

pub fn all() -> Vec<Conform> {
    let misuse = Refusal::HostMisuse(HostMisuse::Pointer);
    let mut cases = Vec::new();
    for import in IMPORTS {
        cases.push(in_gas(import));
        for Range { at, len } in ranges(import) {
            let usual = usual(import);
            let with = |address: u32, bytes: u32| {
                let mut parameters = usual.clone();
                parameters[at] = address;
                if let Ok(place) = len {
                    parameters[place] = bytes;
                }
                parameters
            };
            let name = |what: &str| format!("{}: {} {what}", import.name, import.names[at]);
            let whole = len.err().unwrap_or(6);
            let inside =
                [("that ends with the memory", END - whole, whole), ("of nothing at the end of the memory", END, 0)];
            let beyond = [
                ("that ends one byte beyond the memory", END - whole, whole + 1),
                ("of nothing beyond the memory", END + 1, 0),
                ("that begins with the last address", u32::MAX, 6),
                ("as long as numbers go", 0, u32::MAX),
                ("that ends where numbers begin again", 1, u32::MAX),
            ];
            if len.is_err() {
                cases.push(in_order(import, surroundings(name(inside[0].0)), &with(END - whole, whole)));
                for (what, address) in [("one byte too far", END - whole + 1), ("at the last address", u32::MAX)] {
                    cases
                        .push(surroundings(name(what)).call(import.name, &with(address, 0), 0).refused(misuse.clone()));
                }
                continue;
            }
            for (what, address, bytes) in inside {
                cases.push(in_order(import, surroundings(name(what)), &with(address, bytes)));
            }
            for (what, address, bytes) in beyond {
                let script = surroundings(name(what)).call(import.name, &with(address, bytes), 0);
                // A key is never that long, wherever it stands.
                cases.push(script.refused(misuse.clone()));
            }
        }
        for (name, refusal) in [("handle", HostMisuse::Handle), ("index", HostMisuse::Index)] {
            let Some(at) = import.names.iter().position(|known| *known == name) else { continue };
            for unknown in [1, u32::MAX] {
                let mut parameters = usual(import);
                parameters[at] = unknown;
                let script = surroundings(format!("{}: {name} {unknown}, of none", import.name));
                cases.push(script.call(import.name, &parameters, 0).refused(Refusal::HostMisuse(refusal)));
            }
        }
    }
    cases
}

/// A call that the gas does not pay for: what is left when it begins is less than its price, and more than nothing.
fn in_gas(import: &Import) -> Conform {
    let ready = in_order(import, surroundings(String::new()), &usual(import)).case;
    // The least that any function takes is 100; a straight run of instructions is paid for before it begins.
    let gas = ready.trace().host[import.name].gas;
    let rest =
        surroundings(String::new()).call(import.name, &usual(import), 0).raw("unreachable").refused(Refusal::Trap);
    let whole = rest.case.run().gas;
    let short = if import.name == "abort" { ready.run().gas } else { whole } - gas / 2;
    let case = Case { gas: Some(short), ..rest.case };
    assert_eq!(case.trace().host[import.name].count, 1, "{} is reached", import.name);
    Conform {
        case,
        ..surroundings(format!("{}: half of its gas", import.name)).refused(Refusal::OutOfGas { limit: short })
    }
}
