//! Tests that need servers, a whole engine or the binary: one program, a module per topic.
mod support;
