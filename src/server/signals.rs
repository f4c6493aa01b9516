//! What makes a server stop: signals of the system, or whoever embeds it.
use tokio::sync::mpsc;

use super::Error;

/// Asks a server to stop: the first time gently, the second time at once.
pub type StopSender = mpsc::UnboundedSender<()>;

/// Where a server hears that it is to stop.
#[derive(Debug)]
pub struct Stop(mpsc::UnboundedReceiver<()>);

/// A stop that its sender asks for.
#[must_use]
pub fn stops() -> (StopSender, Stop) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Stop(receiver))
}

/// A stop that SIGTERM and SIGINT ask for.
///
/// # Errors
/// The system does not let this process wait for signals.
pub fn terminations() -> Result<Stop, Error> {
    let (sender, stop) = stops();
    forward(sender)?;
    Ok(stop)
}

#[cfg(unix)]
fn forward(sender: StopSender) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn forward(sender: StopSender) -> Result<(), Error> {
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).is_ok() {}
    });
    Ok(())
}

impl Stop {
    /// Comes back when a stop is asked for; never, once nobody can ask any more.
    pub async fn asked(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
