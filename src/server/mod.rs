//! Binds the listener, serves, and drains.
