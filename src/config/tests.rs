//! Loads small folders and looks at the exact lines.
mod folder;
mod mappings;
mod project;
mod shape;
mod watch;

use folder::{Folder, lines};
