//! Finalized blocks, in order, to the application: first those on disk, then live ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use commonware_actor::Feedback;
use commonware_consensus::marshal::Update;
use commonware_consensus::marshal::core::Mailbox;
use commonware_consensus::marshal::standard::Standard;
use commonware_consensus::types::Height as EngineHeight;
use commonware_consensus::{Heightable as _, Reporter};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_macros::select;
use commonware_runtime::Spawner;
use commonware_utils::Acknowledgement as _;
use commonware_utils::acknowledgement::Exact;
use pleach_types::vote::Round;
use pleach_types::{Block, Certificate, Committee, Context, Height};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::block::EngineBlock;
use crate::certificate::{Scheme, from_engine, to_engine};
use crate::config::Voted;
use crate::entrance::{Entrance, Root};
use crate::network::StartPoint;
use crate::signal::Signal;
use crate::{Application, OrderError};

/// The handle on the store of finalized blocks.
pub(crate) type Marshal = Mailbox<Scheme, Standard<EngineBlock>>;

/// How far this node is.
#[derive(Debug)]
pub(crate) struct DeliveryProgress {
    /// The height of the last block that the application has executed as final.
    pub(crate) delivered: Signal,
    /// The greatest height known to be final; its block may still be missing here.
    pub(crate) tip: Arc<Signal>,
    /// The block that was delivered last, if one was since the start.
    newest: Mutex<Option<Arc<Block>>>,
}

impl DeliveryProgress {
    /// Nothing was delivered yet; `tip` is what others look at.
    pub(crate) fn new(tip: Arc<Signal>) -> Self {
        Self { delivered: Signal::default(), tip, newest: Mutex::default() }
    }

    /// The block that was delivered last. `None` before the first one of this process.
    pub(crate) fn newest_block(&self) -> Option<Arc<Block>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A block was delivered.
    fn came_to(&self, block: Arc<Block>) {
        let height = block.header.height;
        // Before the height: whoever waits for that finds the block.
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(block);
        self.delivered.raise(height);
    }
}

/// The engine's reports, into a queue. The engine itself bounds how many are not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    queue: mpsc::UnboundedSender<(Digested<EngineBlock>, Exact)>,
    progress: Arc<DeliveryProgress>,
}

/// The other end of [`Reports`].
pub(crate) type Finalized = mpsc::UnboundedReceiver<(Digested<EngineBlock>, Exact)>;

impl Reports {
    pub(crate) fn new(progress: Arc<DeliveryProgress>) -> (Self, Finalized) {
        let (queue, finalized) = mpsc::unbounded_channel();
        (Self { queue, progress }, finalized)
    }
}

impl Reporter for Reports {
    type Activity = Update<EngineBlock>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        match update {
            Update::Tip(_, height, _) => {
                self.progress.tip.raise(height.get());
                Feedback::Ok
            }
            Update::Block(block, ack) => match self.queue.send((block, ack)) {
                Ok(()) => Feedback::Ok,
                Err(_) => Feedback::Closed,
            },
        }
    }
}

/// Gives finalized blocks to the application, one after another.
pub(crate) struct Delivery<E> {
    pub(crate) context: E,
    pub(crate) app: Arc<dyn Application>,
    pub(crate) marshal: Marshal,
    pub(crate) progress: Arc<DeliveryProgress>,
    pub(crate) start_point: Arc<StartPoint>,
    /// Where the next epoch is announced.
    pub(crate) entrance: Entrance,
    /// The newest height from which the engine of this epoch could begin after a restart: nothing above it is dropped from the
    /// archive. It is the last one of the epoch before, until this epoch has a certificate.
    pub(crate) root: AtomicU64,
    /// Who is to be told that there are votes in the journals.
    pub(crate) voted: Mutex<Option<Voted>>,
}

impl<E: Spawner> Delivery<E> {
    /// Gives the application the blocks of the archive up to `last`, the newest one that it acknowledged before the last
    /// stop, as far as it does not have them.
    ///
    /// If the archive begins later, because the application lost what it had, this waits until the application has
    /// come by a state from others, and goes on with the block after that.
    ///
    /// # Errors
    /// [`OrderError::Stopped`] if that state is not one that these members certified.
    pub(crate) async fn replay(&self, last: Height) -> Result<(), OrderError> {
        let has = self.app.height();
        self.may_go_on()?;
        self.progress.delivered.raise(has);
        self.enter(self.entrance.lengths.of(has + 1), None)?;
        if last > has {
            info!(from = has + 1, to = last, "replaying the archive");
        }
        let mut height = has + 1;
        while height <= last {
            match self.marshal.get_block(EngineHeight::new(height)).await {
                Some(block) => {
                    self.deliver(block).await?;
                    height += 1;
                }
                None => {
                    warn!(height, "the archive does not have this block any more: waiting for a state from others");
                    // From the application's height, not from where the archive begins: what lies between is in the state that came.
                    self.set_start_point(&self.start_point.next().await)?;
                    height = self.app.height() + 1;
                }
            }
        }
        Ok(())
    }

    /// Gives the application every block that becomes final, until the engine stops.
    ///
    /// # Errors
    /// [`OrderError::Stopped`], always: the engine goes on for ever otherwise.
    pub(crate) async fn run(self, mut finalized: Finalized) -> Result<(), OrderError> {
        loop {
            let next = select! {
                certificate = self.start_point.next() => {
                    self.set_start_point(&certificate)?;
                    continue;
                },
                next = finalized.recv() => next,
            };
            let Some((block, ack)) = next else {
                return Err(OrderError::Stopped("no more blocks are delivered".into()));
            };
            // The engine reports genesis, and what it is unsure to have reported before.
            if block.height().get() > self.progress.delivered.get() {
                self.deliver(block).await?;
                self.tell_voted();
            }
            ack.acknowledge();
        }
    }

    /// Goes on from this block, below which the application has the state.
    ///
    /// # Errors
    /// [`OrderError::Stopped`] if it is no certificate of these members.
    pub(crate) fn set_start_point(&self, certificate: &Certificate) -> Result<(), OrderError> {
        let (has, epoch) = (self.app.height(), certificate.epoch);
        info!(
            height = has,
            epoch,
            view = certificate.view,
            "a state came from others: going on with the block after it"
        );
        self.may_go_on()?;
        self.progress.delivered.raise(has);
        // The state says who certifies the block after it, which the certificate is of.
        if self.entrance.lengths.of(has + 1) != epoch {
            return Err(OrderError::Stopped(format!(
                "the application's start point is of epoch {epoch}, its height is {has}"
            )));
        }
        let members = self.committee(epoch)?;
        let floor = to_engine(certificate, members.members().len())
            .ok_or_else(|| OrderError::Stopped("the application's start point has no valid certificate".into()))?;
        self.entrance.enter(epoch, &members, Some(Root::Finalized(floor.clone())));
        self.root.store(has + 1, Ordering::Relaxed);
        self.marshal.set_floor(floor);
        Ok(())
    }

    /// Whether the application can execute the block after what it has.
    fn may_go_on(&self) -> Result<(), OrderError> {
        self.app.cannot_go_on().map_or(Ok(()), |why| Err(OrderError::Halted(why)))
    }

    fn committee(&self, epoch: u64) -> Result<Committee, OrderError> {
        let unknown = || OrderError::Stopped(format!("the application does not know the members of epoch {epoch}"));
        self.app.committee(epoch).ok_or_else(unknown)
    }

    fn enter(&self, epoch: u64, root: Option<Root>) -> Result<(), OrderError> {
        self.entrance.enter(epoch, &self.committee(epoch)?, root);
        // Where nothing is known of certificates yet, nothing of the epoch may go, nor the block before.
        self.root.store(self.entrance.lengths.before(epoch).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    /// A block was delivered, so consensus runs and has written down from where on.
    fn tell_voted(&self) {
        if let Some(Voted(tell)) = self.voted.lock().unwrap_or_else(PoisonError::into_inner).take() {
            tell();
        }
    }

    async fn deliver(&self, block: Digested<EngineBlock>) -> Result<(), OrderError> {
        let height = block.height();
        let finalization = self.marshal.get_finalization(height).await;
        let certificate = finalization.as_ref().and_then(from_engine);
        let (digest, certified) = (block.digest(), certificate.is_some());
        let Context { epoch, view, .. } = block.inner().block().header.context;
        let (app, block) = (Arc::clone(&self.app), Arc::clone(block.inner().block()));
        let delivered = Arc::clone(&block);
        // Execution blocks its thread: not one of the engine's.
        let executed = self.context.child("execute").shared(true).spawn(move |_| async move {
            app.finalized(block, certificate);
        });
        executed.await.map_err(|_| OrderError::Stopped(format!("execution of block {height} was cut short")))?;
        let lengths = self.entrance.lengths;
        let next = lengths.of(height.get() + 1);
        if next > lengths.of(height.get()) {
            // Before the block counts as delivered: whoever sees that finds the members of the epoch after it.
            self.enter(next, Some(Root::Genesis(digest)))?;
        } else {
            self.entrance.memory.goes_on(Round { epoch, view });
            if certified {
                self.root.store(height.get(), Ordering::Relaxed);
            }
        }
        self.progress.came_to(delivered);
        self.prune();
        self.may_go_on()
    }

    /// Drops what nobody needs any more. The archive does it by whole sections, so that most calls cost nothing.
    fn prune(&self) {
        let needed = self.app.needed_from().min(self.root.load(Ordering::Relaxed));
        if needed > 0 {
            self.marshal.prune(EngineHeight::new(needed));
        }
    }
}
