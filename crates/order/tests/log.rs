//! A log that cannot be written. A test binary of its own, since the log is the whole process's.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Chain, Fault, genesis, secret, settings, timeouts};
use pleach_order::{Config, MemberAddress, OrderError, declare_new, run};
use pleach_testkit::folder::Folder;
use pleach_testkit::ports::free_addresses;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static BROKEN: AtomicBool = AtomicBool::new(false);

/// A log that panics once it is broken, as one does that prints why it cannot print.
struct Fragile;

impl Subscriber for Fragile {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        assert!(!BROKEN.load(Ordering::Relaxed), "the log cannot be written");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Whatever kills the engine's thread, the engine is known to have ended: a member that is dead and is not known to be would
/// never be started again.
#[test]
fn the_end_of_an_engine_is_told_even_if_nothing_can_be_logged() {
    tracing::subscriber::set_global_default(Fragile).unwrap();
    let genesis = genesis(1);
    let listen = free_addresses(1)[0];
    let folder = Folder::new();
    let data = folder.join("data");
    declare_new(&data).unwrap();
    let mut settings = settings(&genesis, 0, timeouts(Duration::from_millis(50)));
    settings.storage_prefix = String::new();
    let addresses =
        vec![MemberAddress { key: secret(0).public(), address: listen.to_string(), stands_for: String::new() }];
    let config = Config { settings, addresses, listen, data, workers: 1 };

    let chain = Chain::faulty(&genesis, Fault::Panic(5));
    let running = run(config, chain.clone()).unwrap();
    let start = Instant::now();
    while chain.height() < 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "no block within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    BROKEN.store(true, Ordering::Relaxed);
    let ended = loop {
        if let Some(ended) = running.ended() {
            break ended;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "the engine is dead, and nobody is told");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(matches!(ended, Err(OrderError::Stopped(_))), "{ended:?}");
    assert_eq!(running.wait(), ended);
    BROKEN.store(false, Ordering::Relaxed);
}
