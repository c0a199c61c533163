//! The operations that come with Pleach, as built: the very bytes that clusters run.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Case, key};
use pleach_types::PublicKey;
use pleach_types::receipt::Refusal;
use pleach_vm::{arguments_schema, builtin, check};
use proptest::prelude::*;
use sha2::Digest;

const ALL: [(&str, &[u8], &str); 5] = [
    ("bank_deposit", builtin::BANK_DEPOSIT, "accounts: list<(str, u64)>"),
    ("bank_open", builtin::BANK_OPEN, "accounts: list<(str, key)>"),
    ("bank_transfer", builtin::BANK_TRANSFER, "from: str, to: str, amount: u64"),
    ("base_rule", builtin::BASE_RULE, "changes: list<(str, option<bytes>)>"),
    ("root_rule", builtin::ROOT_RULE, "name: str, owner: option<key>"),
];

#[test]
fn the_committed_modules_are_those_of_the_digests() {
    let digests: String = include_str!("../../../operations/built/DIGESTS")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| format!("{l}\n"))
        .collect();
    // One is built with them that is none of theirs: what the SDK in Rust is held by (`conformance.rs`).
    let tour = ("sdk_tour", &include_bytes!("../../../operations/built/sdk_tour.wasm")[..], "");
    let actual: String = ALL
        .iter()
        .chain([&tour])
        .map(|(name, code, _)| format!("{}  {name}.wasm\n", hex::encode(sha2::Sha256::digest(code))))
        .collect();
    assert_eq!(digests, actual);
}

#[test]
fn they_pass_the_check_and_describe_their_arguments() {
    for (name, code, arguments) in ALL {
        let info = check(code).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(info.hints(), Vec::<String>::new(), "{name}");
        assert!(info.bytes < 10_000, "{name} has {} bytes", info.bytes);
        assert_eq!(arguments_schema(code).unwrap().to_string(), arguments, "{name}");
        // No machine's paths in bytes that everybody holds.
        for path in ["/root", "/home", "/work"] {
            assert!(!code.windows(path.len()).any(|w| w == path.as_bytes()), "{name} contains {path}");
        }
    }
}

fn public(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

fn hex_of(n: u8) -> String {
    hex::encode([n; 32])
}

/// A database in which operations are called as clients do: keys are discovered by running.
#[derive(Clone, Default)]
struct Db(BTreeMap<String, Bytes>);

impl Db {
    fn call(
        &mut self,
        operation: &str,
        code: &'static [u8],
        signers: &[u8],
        arguments: &[&str],
    ) -> Result<Bytes, Refusal> {
        let encoded = arguments_schema(code).unwrap().encode_words(operation, arguments).unwrap();
        let signers: Vec<PublicKey> = signers.iter().copied().map(public).collect();
        let mut case = Case::new(Bytes::from_static(code)).operation(operation).arguments(encoded).signers(&signers);
        loop {
            match case.run().result {
                Err(Refusal::UndeclaredKey(missing)) => {
                    let value = self.0.get(missing.as_str()).cloned();
                    assert!(case.records.insert(missing, value).is_none(), "asked twice");
                }
                Err(refusal) => return Err(refusal),
                Ok(effects) => {
                    for (key, value) in effects.writes {
                        match value {
                            Some(value) => self.0.insert(key.to_string(), value),
                            None => self.0.remove(key.as_str()),
                        };
                    }
                    return Ok(effects.output.output);
                }
            }
        }
    }

    fn genesis() -> Self {
        Self(
            [(".root_rule", builtin::ROOT_RULE), (".base_rule", builtin::BASE_RULE)]
                .map(|(k, v)| (k.to_owned(), Bytes::from_static(v)))
                .into(),
        )
    }

    fn create(&mut self, name: &str, owner: Option<u8>, signers: &[u8]) -> Result<Bytes, Refusal> {
        let owner = format!("owner={}", owner.map_or_else(|| "none".to_owned(), hex_of));
        self.call(".root_rule", builtin::ROOT_RULE, signers, &[&format!("name={name}"), &owner])
    }

    fn change(&mut self, domain: &str, signers: &[u8], changes: &str) -> Result<Bytes, Refusal> {
        self.call(&format!("{domain}.base_rule"), builtin::BASE_RULE, signers, &[changes])
    }

    fn open(&mut self, accounts: &[(&str, u8)]) -> Result<Bytes, Refusal> {
        let list: Vec<_> = accounts.iter().map(|(name, owner)| (name, hex_of(*owner))).collect();
        self.call("bank/open", builtin::BANK_OPEN, &[], &[&serde_json::to_string(&list).unwrap()])
    }

    fn deposit(&mut self, signers: &[u8], accounts: &[(&str, u64)]) -> Result<Bytes, Refusal> {
        self.call("bank/deposit", builtin::BANK_DEPOSIT, signers, &[&serde_json::to_string(accounts).unwrap()])
    }

    fn transfer(&mut self, signers: &[u8], from: &str, to: &str, amount: u64) -> Result<Bytes, Refusal> {
        let arguments = [format!("from={from}"), format!("to={to}"), format!("amount={amount}")];
        self.call("bank/transfer", builtin::BANK_TRANSFER, signers, &arguments.each_ref().map(String::as_str))
    }

    fn balance(&self, name: &str) -> u64 {
        let account = &self.0[&format!("bank/accounts/{name}")];
        assert_eq!(account.len(), 40);
        u64::from_le_bytes(account[32..].try_into().unwrap())
    }
}

fn message<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    match result {
        Err(Refusal::Aborted { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

fn bank() -> Db {
    let mut db = Db::genesis();
    db.create("bank", Some(1), &[1]).unwrap();
    db.open(&[("alice", 2), ("bob", 3)]).unwrap();
    db
}

#[test]
fn a_domain_belongs_to_the_key_that_signed_for_it() {
    let mut db = Db::genesis();
    assert_eq!(message(db.create("bank", Some(1), &[])), "not signed by the new owner");
    assert_eq!(message(db.create("bank", Some(1), &[2])), "not signed by the new owner");
    db.create("bank", Some(1), &[1, 2]).unwrap();
    assert_eq!(db.0["bank/.base_rule"], builtin::BASE_RULE);
    assert_eq!(db.0["bank/.owner"], [1; 32][..]);
    assert_eq!(message(db.create("bank", Some(2), &[2])), "the domain exists: bank");
    assert_eq!(message(db.create("bank", None, &[])), "the domain exists: bank");
    db.create("open", None, &[]).unwrap();
    assert_eq!(db.0["open/.owner"], Bytes::new());
    assert_eq!(message(Db::default().create("bank", None, &[])), "there is no base rule to copy");
}

#[test]
fn names_of_domains_are_one_plain_part() {
    for bad in ["", ".", "..", ".members", "a/b", "bank/", "/bank", "a\nb", "a\0"] {
        assert!(message(Db::genesis().create(bad, None, &[])).starts_with("not the name of a domain"), "{bad:?}");
    }
    // Characters that look like others or like nothing: the host knows them.
    assert_eq!(Db::genesis().create("a\u{200b}b", None, &[]), Err(Refusal::BadKey));
    for good in ["a", "bank", "Straße", "a.b", "a b"] {
        Db::genesis().create(good, None, &[]).unwrap();
    }
}

#[test]
fn the_owner_rules_the_domain() {
    let mut db = Db::genesis();
    db.create("bank", Some(1), &[1]).unwrap();
    let put = r#"[["bank/a", "x"], ["bank/sub/b", "y"]]"#;
    assert_eq!(message(db.change("bank/", &[2], put)), "not signed by the domain's owner");
    db.change("bank/", &[1], put).unwrap();
    assert_eq!((&db.0["bank/a"][..], &db.0["bank/sub/b"][..]), (&b"x"[..], &b"y"[..]));
    db.change("bank/", &[1], r#"[["bank/a", null]]"#).unwrap();
    assert!(!db.0.contains_key("bank/a"));
    assert_eq!(message(db.change("bank/", &[1], "[]")), "no changes");
    for outside in ["other/a", "banker", "bank", ".root_rule", ".owner"] {
        let refused = db.change("bank/", &[1], &format!(r#"[["{outside}", "x"]]"#));
        assert_eq!(refused, Err(Refusal::DomainViolation { operation: key("bank/.base_rule"), key: key(outside) }));
    }
    // A domain can change hands, and be opened, but not be left without rule or owner.
    for removed in ["bank/.owner", "bank/.base_rule"] {
        assert!(message(db.change("bank/", &[1], &format!(r#"[["{removed}", null]]"#))).contains("not removed"));
    }
    assert!(message(db.change("bank/", &[1], r#"[["bank/.owner", "short"]]"#)).contains("32 bytes"));
    db.change("bank/", &[1], &format!(r#"[["bank/.owner", "0x{}"]]"#, hex_of(2))).unwrap();
    assert_eq!(message(db.change("bank/", &[1], put)), "not signed by the domain's owner");
    db.change("bank/", &[2], r#"[["bank/.owner", ""]]"#).unwrap();
    db.change("bank/", &[], put).unwrap();
}

#[test]
fn an_open_domain_stays_open() {
    let mut db = Db::genesis();
    db.create("open", None, &[]).unwrap();
    db.change("open/", &[], r#"[["open/a", "x"]]"#).unwrap();
    for name in [".owner", ".base_rule"] {
        for value in ["null", "\"\"", "\"x\""] {
            let refused = message(db.change("open/", &[1], &format!(r#"[["open/{name}", {value}]]"#)));
            assert_eq!(refused, format!("in an open domain nobody may change {name}"));
        }
    }
}

#[test]
fn the_template_rules_nothing() {
    let mut db = bank();
    for signers in [&[][..], &[1]] {
        assert_eq!(
            message(db.change("", signers, r#"[["bank/accounts/alice", null]]"#)),
            "this rule stands in no domain"
        );
    }
    // Nor does a copy where there is no owner.
    assert_eq!(message(db.change("elsewhere/", &[1], r#"[["elsewhere/a", "x"]]"#)), "this rule stands in no domain");
}

#[test]
fn accounts_are_opened_once() {
    let mut db = bank();
    assert_eq!(db.0["bank/accounts/alice"], [&[2; 32][..], &[0; 8]].concat());
    assert_eq!(message(db.open(&[("carol", 4), ("alice", 4)])), "account exists: alice");
    assert!(!db.0.contains_key("bank/accounts/carol"), "all or nothing");
    assert_eq!(message(db.open(&[("carol", 4), ("carol", 5)])), "account exists: carol");
    assert_eq!(message(db.open(&[])), "no accounts to open");
    assert_eq!(message(db.open(&[("a/b", 1)])), "not a name: \"a/b\"");
    assert_eq!(message(db.open(&[("..", 1)])), "not a name: \"..\"");
}

#[test]
fn money_comes_from_the_banks_owner() {
    let mut db = bank();
    assert_eq!(message(db.deposit(&[2], &[("alice", 10)])), "not signed by the bank's owner");
    db.deposit(&[1], &[("alice", 10), ("bob", 5), ("alice", 1)]).unwrap();
    assert_eq!((db.balance("alice"), db.balance("bob")), (11, 5));
    assert_eq!(message(db.deposit(&[1], &[("alice", u64::MAX)])), format!("too much: alice has 11, gets {}", u64::MAX));
    assert_eq!(message(db.deposit(&[1], &[("nobody", 1)])), "no account: nobody");
    assert_eq!(message(db.deposit(&[1], &[])), "no accounts to pay into");
    db.change("bank/", &[1], r#"[["bank/.owner", ""]]"#).unwrap();
    assert_eq!(message(db.deposit(&[1], &[("alice", 10)])), "the bank has no owner");
}

#[test]
fn money_moves_when_the_payer_signs() {
    let mut db = bank();
    db.deposit(&[1], &[("alice", 10)]).unwrap();
    assert_eq!(message(db.transfer(&[2], "alice", "bob", 50)), "insufficient funds: alice has 10, needs 50");
    assert_eq!(message(db.transfer(&[3], "alice", "bob", 5)), "not signed by alice");
    assert_eq!(message(db.transfer(&[2], "alice", "alice", 5)), "from and to are the same account: alice");
    assert_eq!(message(db.transfer(&[2], "alice", "bob", 0)), "the amount is 0");
    assert_eq!(message(db.transfer(&[2], "alice", "nobody", 5)), "no account: nobody");
    let output = db.transfer(&[2], "alice", "bob", 3).unwrap();
    assert_eq!(output, [7u64.to_le_bytes(), 3u64.to_le_bytes()].concat());
    assert_eq!((db.balance("alice"), db.balance("bob")), (7, 3));
    db.deposit(&[1], &[("bob", u64::MAX - 3)]).unwrap();
    assert_eq!(message(db.transfer(&[2], "alice", "bob", 1)), format!("too much: bob has {}, gets 1", u64::MAX));
    db.change("bank/", &[1], r#"[["bank/accounts/bob", "junk"]]"#).unwrap();
    assert_eq!(message(db.transfer(&[2], "alice", "bob", 1)), "not an account: bob");
}

#[test]
fn wrong_argument_bytes_abort_by_name() {
    let case = Case::new(Bytes::from_static(builtin::BANK_TRANSFER)).operation("bank/transfer");
    let say = |bytes: &[u8]| message(case.clone().arguments(bytes.to_vec()).run().result);
    assert_eq!(say(&[]), "argument from is missing or cut short");
    assert_eq!(say(&[1, 0, 0, 0, b'a', 255, 255, 255, 255]), "argument to is missing or cut short");
    assert_eq!(say(&[1, 0, 0, 0, 0xff]), "argument from is not UTF-8");
    let whole = [&[1, 0, 0, 0, b'a', 1, 0, 0, 0, b'b'][..], &[0; 9]].concat();
    assert_eq!(say(&whole), "arguments: 1 bytes too many");
    // A list that claims to be endless costs gas, not memory.
    let open = Case::new(Bytes::from_static(builtin::BANK_OPEN)).operation("bank/open").arguments(vec![255; 4]);
    assert_eq!(message(open.run().result), "argument accounts is missing or cut short");
}

#[test]
fn a_transfer_costs_what_it_costs() {
    let arguments =
        arguments_schema(builtin::BANK_TRANSFER).unwrap().encode_words("t", &["alice", "bob", "5"]).unwrap();
    let account = |owner: u8, balance: u64| [&[owner; 32][..], &balance.to_le_bytes()].concat();
    let case = Case::new(Bytes::from_static(builtin::BANK_TRANSFER))
        .operation("bank/transfer")
        .arguments(arguments)
        .signers(&[public(2)]);
    let case =
        case.record("bank/accounts/alice", Some(&account(2, 10))).record("bank/accounts/bob", Some(&account(3, 0)));
    let outcome = case.run();
    assert!(outcome.result.is_ok());
    // A regression here is a price rise for everybody: more than half of this is for the two records that are written.
    assert!(outcome.gas < 53_000, "{}", outcome.gas);
}

#[derive(Clone, Debug)]
enum Step {
    Deposit(usize, u64),
    Transfer { signer: u8, from: usize, to: usize, amount: u64 },
}

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![0..20u64, Just(u64::MAX), Just(u64::MAX - 10)];
    prop_oneof![
        (0..3usize, amount.clone()).prop_map(|(to, amount)| Step::Deposit(to, amount)),
        (2..5u8, 0..4usize, 0..4usize, amount).prop_map(|(signer, from, to, amount)| Step::Transfer {
            signer,
            from,
            to,
            amount
        }),
    ]
}

/// What a bank is, without a database: three accounts of three owners; the fourth name has none.
fn expected(balances: &mut [u64; 3], step: &Step) -> bool {
    match *step {
        Step::Deposit(to, amount) => balances[to].checked_add(amount).map(|sum| balances[to] = sum).is_some(),
        Step::Transfer { signer, from, to, amount } => {
            if from == to
                || from > 2
                || to > 2
                || amount == 0
                || usize::from(signer) != from + 2
                || balances[from] < amount
            {
                return false;
            }
            let Some(sum) = balances[to].checked_add(amount) else { return false };
            (balances[from], balances[to]) = (balances[from] - amount, sum);
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn the_bank_does_what_a_bank_does(steps in prop::collection::vec(step(), 1..20)) {
        let mut db = Db::genesis();
        db.create("bank", Some(1), &[1]).unwrap();
        db.open(&[("alice", 2), ("bob", 3), ("carol", 4)]).unwrap();
        let mut balances = [0; 3];
        for step in &steps {
            let done = match *step {
                Step::Deposit(to, amount) => db.deposit(&[1], &[(NAMES[to], amount)]).is_ok(),
                Step::Transfer { signer, from, to, amount } => db.transfer(&[signer], NAMES[from], NAMES[to], amount).is_ok(),
            };
            prop_assert_eq!(done, expected(&mut balances, step), "{:?}", step);
            prop_assert_eq!([db.balance("alice"), db.balance("bob"), db.balance("carol")], balances);
        }
    }
}
