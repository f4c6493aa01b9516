//! Changes over HTTP: forms, headers, outcomes.
