//! The pages of variables and functions as one text, made from the engine itself.
use std::fmt::Write;

use super::{Definition, Page};

const HEAD: &str = "# What hooks have

Variables are set by Recant before a script runs; a name that a hook does not set is reported when the
script is compiled or, where another hook sets it, when it is used. Functions that change something
(`revert`, `create`, `update`, `patch`, `delete`) only ask: Recant carries it out after the script.
";

/// The pages whose names hold `search`, in Markdown.
pub(super) fn markdown(variables: &[Page], functions: &[Definition], search: &str) -> String {
    let mut text = if search.is_empty() {
        HEAD.to_owned()
    } else {
        String::new()
    };
    let is_meant = |name: &str| name.contains(search);
    let mut variables = variables
        .iter()
        .filter(|page| is_meant(page.name))
        .peekable();
    if variables.peek().is_some() {
        text.push_str("\n## Variables\n");
    }
    for page in variables {
        let _ = write!(text, "\n### `{}`\n{}\n", page.name, page.doc);
    }
    let mut last = "";
    for function in functions.iter().filter(|function| is_meant(&function.name)) {
        if last.is_empty() {
            text.push_str("\n## Functions\n");
        }
        if function.name != last {
            let _ = write!(text, "\n### `{}`\n", function.name);
        }
        last = &function.name;
        let _ = write!(text, "- `{}`", function.signature);
        for line in function.doc.lines() {
            let _ = write!(text, "\n  {line}");
        }
        text.push('\n');
    }
    text
}
