//! `recant serve`: the HTTP API of one project folder, until it is told to stop.
use std::path::Path;

use super::output::{Exit, Failure, Result, with_causes};
use crate::server::{self, Ended};

/// Serves the folder. What it has to say goes to the log.
///
/// # Errors
/// The folder has errors, or the address cannot be listened on.
pub async fn run(folder: &Path) -> Result {
    match server::serve(folder).await {
        Ok(Ended::Settled) => Ok(Exit::Done),
        Ok(Ended::AtOnce) => Err(Failure::Other(
            "stopped at once: what was in flight is taken up at the next start".to_owned(),
        )),
        Err(error) => Err(Failure::Other(with_causes(&error))),
    }
}
