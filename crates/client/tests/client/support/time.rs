//! Virtual time: a future is driven until it waits for nothing but timers, then the clock jumps.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use pleach_client::Runtime;

#[derive(Clone, Default)]
pub struct Time(Arc<Mutex<Clock>>);

#[derive(Default)]
struct Clock {
    now: Duration,
    next: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
}

struct Sleep {
    time: Time,
    at: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut clock = self.time.0.lock().unwrap();
        if clock.now >= self.at.0 {
            return Poll::Ready(());
        }
        clock.timers.insert(self.at, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.time.0.lock().unwrap().timers.remove(&self.at);
    }
}

impl Runtime for Time {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut clock = self.0.lock().unwrap();
        clock.next += 1;
        let at = (clock.now + duration, clock.next);
        drop(clock);
        Sleep { time: self.clone(), at }.boxed()
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Time {
    /// Drives a future to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        loop {
            flag.0.store(false, Ordering::SeqCst);
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            if !flag.0.load(Ordering::SeqCst) {
                self.jump();
            }
        }
    }

    fn jump(&self) {
        let mut clock = self.0.lock().unwrap();
        let ((at, _), waker) = clock.timers.pop_first().expect("nothing will ever wake the future");
        clock.now = clock.now.max(at);
        drop(clock);
        waker.wake();
    }
}
