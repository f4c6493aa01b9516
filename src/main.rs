//! Starts Recant.
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    recant::cli::run(std::env::args_os()).await
}
