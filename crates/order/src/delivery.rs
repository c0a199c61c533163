//! Finalized blocks, in order, to the application: first those on disk, then live ones.

use std::sync::Arc;

use commonware_actor::Feedback;
use commonware_consensus::marshal::Update;
use commonware_consensus::marshal::core::Mailbox;
use commonware_consensus::marshal::standard::Standard;
use commonware_consensus::types::Height as EngineHeight;
use commonware_consensus::{Heightable as _, Reporter};
use commonware_cryptography::Digested;
use commonware_runtime::Spawner;
use commonware_utils::Acknowledgement as _;
use commonware_utils::acknowledgement::Exact;
use pleach_types::Height;
use tokio::sync::mpsc;
use tracing::info;

use crate::block::EngineBlock;
use crate::certificate::{Scheme, from_engine};
use crate::signal::Signal;
use crate::{Application, OrderError};

/// The handle on the store of finalized blocks.
pub(crate) type Marshal = Mailbox<Scheme, Standard<EngineBlock>>;

/// How far this node is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The height of the last block that the application has executed as final.
    pub(crate) delivered: Signal,
    /// The greatest height known to be final; its block may still be missing here.
    pub(crate) tip: Signal,
}

/// The engine's reports, into a queue. The engine itself bounds how many are not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    queue: mpsc::UnboundedSender<(Digested<EngineBlock>, Exact)>,
    progress: Arc<Progress>,
}

/// The other end of [`Reports`].
pub(crate) type Finalized = mpsc::UnboundedReceiver<(Digested<EngineBlock>, Exact)>;

impl Reports {
    pub(crate) fn new(progress: Arc<Progress>) -> (Self, Finalized) {
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
    pub(crate) progress: Arc<Progress>,
}

impl<E: Spawner> Delivery<E> {
    /// Gives the application the blocks 1 to `last` of the archive: all that it acknowledged before the last stop.
    ///
    /// # Errors
    /// [`OrderError::Stopped`] if a block is missing, which means that the disk lost it.
    pub(crate) async fn replay(&self, last: Height) -> Result<(), OrderError> {
        if last > 0 {
            info!(blocks = last, "replaying the archive");
        }
        for height in 1..=last {
            let block =
                self.marshal.get_block(EngineHeight::new(height)).await.ok_or_else(|| {
                    OrderError::Stopped(format!("block {height} of {last} is missing in the archive"))
                })?;
            self.deliver(block).await?;
        }
        Ok(())
    }

    /// Gives the application every block that becomes final, until the engine stops.
    ///
    /// # Errors
    /// [`OrderError::Stopped`], always: the engine goes on for ever otherwise.
    pub(crate) async fn run(self, mut finalized: Finalized) -> Result<(), OrderError> {
        while let Some((block, ack)) = finalized.recv().await {
            // The engine reports genesis, and what it is unsure to have reported before.
            if block.height().get() > self.progress.delivered.get() {
                self.deliver(block).await?;
            }
            ack.acknowledge();
        }
        Err(OrderError::Stopped("no more blocks are delivered".into()))
    }

    async fn deliver(&self, block: Digested<EngineBlock>) -> Result<(), OrderError> {
        let height = block.height();
        let finalization = self.marshal.get_finalization(height).await;
        let certificate = finalization.as_ref().and_then(from_engine);
        let (app, block) = (Arc::clone(&self.app), Arc::clone(block.inner().block()));
        // Execution blocks its thread: not one of the engine's.
        let executed = self.context.child("execute").shared(true).spawn(move |_| async move {
            app.finalized(block, certificate);
        });
        executed.await.map_err(|_| OrderError::Stopped(format!("execution of block {height} was cut short")))?;
        self.progress.delivered.raise(height.get());
        Ok(())
    }
}
