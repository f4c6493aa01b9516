//! Starting, stopping, TLS.
