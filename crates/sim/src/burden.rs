//! What a faulty leader puts in its blocks in the place of what clients sent: more than a block may hold, what no member may
//! vote for, and what costs as much as a block may cost.

use bytes::Bytes;
use pleach_node::Node;
use pleach_types::limits::Limits;
use pleach_types::{Body, Call, Encode as _, Key, Request, SecretKey};

/// The record of an operation that never ends: [`SPIN`].
pub const SPIN_KEY: &str = "worst/spin";
/// `(module (memory (export "memory") 1) (func (export "pleach_run") (loop (br 0))))`
pub const SPIN: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x17\x02\x06memory\x02\0\x0apleach_run\0\0\
    \x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";

/// What a block is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Burden {
    /// Bytes that are no request.
    Garbage,
    /// Many signatures of which one is false.
    FalseSignature,
    /// One identity in two wrappings.
    Twice,
    /// A request more than a block may hold.
    Requests,
    /// A byte more.
    Bytes,
    /// One gas more.
    Gas,
    /// As little weight more as there can be: that of a byte.
    Weight,
    /// As many signatures as the weight allows, under proofs of another tree: valid, and all of it void.
    Void,
    /// As much gas and signatures as there may be: valid, and applied or refused.
    Worst,
}

impl Burden {
    /// Those that make a block invalid.
    pub const INVALID: [Self; 7] =
        [Self::Garbage, Self::FalseSignature, Self::Twice, Self::Requests, Self::Bytes, Self::Gas, Self::Weight];

    /// The requests of a block on what `node` has come to. Blocks of different `number` have no identity in common.
    #[must_use]
    pub fn requests(self, node: &Node, number: u64) -> Vec<Bytes> {
        let limits = &node.genesis().limits;
        let most = limits.block_requests as usize;
        let of = |count: usize, part: Extra| (0..count).map(|n| part.request(node, number, n)).collect::<Vec<_>>();
        let encoded = |requests: Vec<Request>| requests.iter().map(|request| request.encode().into()).collect();
        let (small, signed) = (Extra::default(), Extra { signers: 16, ..Extra::default() });
        match self {
            Self::Garbage => vec![vec![0xff; limits.request_bytes as usize].into()],
            Self::FalseSignature => {
                let mut requests = of(4, signed);
                let false_one = requests[3].signatures[0];
                requests[2].signatures[7] = false_one;
                encoded(requests)
            }
            Self::Twice => {
                let mut requests = of(1, small);
                requests.push(Request { code: vec![None], ..requests[0].clone() });
                encoded(requests)
            }
            Self::Requests => encoded(of(most + 1, small)),
            Self::Bytes => {
                let length = |filler| small.filled(filler).request(node, number, 0).encode().len() as u64;
                let (limit, most) = (u64::from(limits.block_bytes), u64::from(limits.request_bytes));
                // All but the last one as large as it may be, and the last one large enough for a byte too many.
                let count = limit / most;
                let beside = length(0);
                let mut requests = (0..count).map(|n| small.filled(most - beside).request(node, number, n as usize));
                let requests: Vec<_> = requests.by_ref().collect();
                let last =
                    small.filled(limit % most + 1 - beside.min(limit % most)).request(node, number, most as usize);
                encoded(requests.into_iter().chain([last]).collect())
            }
            Self::Gas => {
                let share = limits.block_gas / 2;
                let parts =
                    [Extra { gas: Some(share), ..small }, Extra { gas: Some(limits.block_gas - share + 1), ..small }];
                encoded(parts.iter().enumerate().map(|(n, part)| part.request(node, number, n)).collect())
            }
            Self::Weight => encoded(heavy(node, number, limits)),
            Self::Void => {
                let mut requests = within_weight(node, number, signed, limits);
                requests.iter_mut().for_each(of_another_tree);
                encoded(requests)
            }
            Self::Worst => {
                let count = within_weight(node, number, signed, limits).len() as u64;
                let gas = Some((limits.block_gas / count).min(limits.gas));
                encoded(within_weight(node, number, Extra { gas, ..signed }, limits))
            }
        }
    }
}

/// What a request has beside what all have.
#[derive(Clone, Copy, Debug, Default)]
struct Extra {
    gas: Option<u64>,
    signers: u8,
    filler: usize,
}

impl Extra {
    const fn filled(self, filler: u64) -> Self {
        Self { filler: filler as usize, ..self }
    }

    fn request(self, node: &Node, number: u64, place: usize) -> Request {
        let (state, operation) = (node.state(), Key::new(SPIN_KEY).expect("a key"));
        let body = Body {
            genesis: node.genesis().digest(),
            calls: vec![Call { operation: operation.clone(), arguments: vec![7; self.filler].into() }],
            gas: self.gas.unwrap_or(10_000),
            touched: Vec::new(),
            base: state.height(),
            nonce: (u128::from(number) << 64 | place as u128).to_le_bytes(),
            signers: Vec::new(),
        };
        let proof = state.prove([&operation]).expect("every member keeps all").encode().into();
        let keys: Vec<_> = (0..self.signers).map(|n| SecretKey::from_seed([n; 32])).collect();
        Request::sign(body, &keys, proof, Vec::new(), vec![Some(Bytes::from_static(SPIN))])
    }
}

/// What a request weighs: as voters compute it.
fn weight(node: &Node, request: &Request) -> u64 {
    let bytes = request.encode().into();
    let prepared = pleach_state::prepare(&bytes, &node.genesis().limits, &node.genesis().digest());
    prepared.expect("a request that is in order").weight()
}

/// As many requests as have room in the weight of a block.
fn within_weight(node: &Node, number: u64, part: Extra, limits: &Limits) -> Vec<Request> {
    let one = weight(node, &part.request(node, number, 0));
    let count = (limits.block_weight / one).min(u64::from(limits.block_requests));
    (0..count as usize).map(|n| part.request(node, number, n)).collect()
}

/// Requests that are too heavy together by less than a byte weighs.
fn heavy(node: &Node, number: u64, limits: &Limits) -> Vec<Request> {
    let part = Extra { signers: 16, ..Extra::default() };
    let mut requests = within_weight(node, number, part, limits);
    let weight_of = |requests: &[Request]| requests.iter().map(|request| weight(node, request)).sum::<u64>();
    let missing = limits.block_weight - weight_of(&requests);
    let last = requests.len() - 1;
    requests[last] = part.filled(missing / pleach_types::limits::WEIGHT_BYTE + 1).request(node, number, last);
    let over = weight_of(&requests) - limits.block_weight;
    assert!((1..=pleach_types::limits::WEIGHT_BYTE).contains(&over), "{over} too heavy");
    requests
}

/// Changes what the proof is of. What comes last in it is of a label or digest.
fn of_another_tree(request: &mut Request) {
    let mut proof = request.proof.to_vec();
    proof.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    request.proof = proof.into();
    // Of the operation nothing is said any more that its code could be compared with.
    request.code = vec![None];
}
