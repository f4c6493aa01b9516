//! What can be looked at: operations, audit, targets, scripts, probes.
