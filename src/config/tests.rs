//! Loads small folders and looks at the exact lines.
mod folder;
mod project;
mod shape;

use folder::{Folder, lines};
