//! Starts Recant.
fn main() {}
