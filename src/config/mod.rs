//! The project folder: as written, compiled with every problem gathered, and as used.
