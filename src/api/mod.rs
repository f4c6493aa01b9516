//! JSON over HTTP: CREST resources, operations, audit, scripts, probes.
