//! Starts Recant.
use std::process::ExitCode;

/// A change makes many small objects; the system's allocator costs a fifth of its CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    recant::cli::run(std::env::args_os()).await
}
