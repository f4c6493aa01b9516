//! What is wrong with a request is told with its place, and changes nothing.
