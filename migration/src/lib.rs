//! The tables of the store, up and down.
