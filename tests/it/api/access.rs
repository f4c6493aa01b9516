//! Who may do what, and what is recorded of those who may not.
