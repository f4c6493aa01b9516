//! Loads small folders and looks at the exact lines.
mod audit;
mod folder;
mod init;
mod integrations;
mod mappings;
mod project;
mod shape;
mod size;
mod watch;

use folder::{Folder, lines};
