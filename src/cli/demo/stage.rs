//! What the demo shows: scenes with texts, tables and claims, for eyes or as JSON.
use serde_json::{Value, json};

use super::super::{
    output::{Output, Result, Tone},
    table::Table,
};

/// Texts are wrapped at this column at the latest.
const WIDEST: usize = 78;

/// Prints scenes and keeps count of what was claimed.
pub struct Stage<'a> {
    output: &'a mut Output,
    scenes: Vec<Value>,
    claims: usize,
    broken: Vec<String>,
}

impl<'a> Stage<'a> {
    /// An empty stage.
    pub fn new(output: &'a mut Output) -> Self {
        let widest = u16::try_from(WIDEST).unwrap_or_default();
        output.width = Some(output.width.unwrap_or(widest).clamp(40, widest));
        Self {
            output,
            scenes: Vec::new(),
            claims: 0,
            broken: Vec::new(),
        }
    }

    /// Begins a scene.
    pub fn scene(&mut self, title: &str) -> Result<()> {
        self.scenes
            .push(json!({"scene": title, "claims": [], "operation": null}));
        let rule = "─".repeat(self.width().saturating_sub(title.chars().count() + 4));
        let line = format!(
            "\n{} {} {}",
            self.output.tint(Tone::Faint, "──"),
            self.output.tint(Tone::Strong, title),
            self.output.tint(Tone::Faint, rule)
        );
        self.line(&line)
    }

    /// Tells something, wrapped.
    pub fn tell(&mut self, text: &str) -> Result<()> {
        self.line("")?;
        for line in wrap(text, self.width() - 2) {
            self.line(&format!("  {line}"))?;
        }
        Ok(())
    }

    /// Shows a command that does by hand what the scene does.
    pub fn command(&mut self, command: &str) -> Result<()> {
        let line = format!("    $ {command}");
        let line = self.output.tint(Tone::Faint, line);
        self.line(&line)
    }

    /// Shows the next line of that command.
    pub fn command_goes_on(&mut self, rest: &str) -> Result<()> {
        let line = self.output.tint(Tone::Faint, format!("        {rest}"));
        self.line(&line)
    }

    /// Shows a line as it is.
    pub fn show(&mut self, tone: Tone, text: &str) -> Result<()> {
        let line = self.output.tint(tone, text);
        self.line(&format!("    {line}"))
    }

    /// Shows a table.
    pub fn table(
        &mut self,
        headings: &[&str],
        rows: impl IntoIterator<Item = Vec<(Tone, String)>>,
    ) -> Result<()> {
        if self.output.is_json() {
            return Ok(());
        }
        self.line("")?;
        let mut table = Table::new(self.output, headings);
        for row in rows {
            table.row(row);
        }
        table.print(self.output, 4)
    }

    /// Claims something, having checked whether it holds.
    pub fn claim(&mut self, holds: bool, claim: &str) -> Result<()> {
        self.claims += 1;
        if let Some(claims) = self.last("claims").and_then(Value::as_array_mut) {
            claims.push(json!({"claim": claim, "holds": holds}));
        }
        let (tone, mark) = if holds {
            (Tone::Good, "✔")
        } else {
            self.broken.push(claim.to_owned());
            (Tone::Bad, "✘ NOT TRUE:")
        };
        let mark = self.output.tint(tone, mark);
        let mut lines = wrap(claim, self.width() - 4).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("  {mark} {first}"))?;
        lines.try_for_each(|line| self.line(&format!("    {line}")))
    }

    /// Notes which change the scene is about.
    pub fn note_operation(&mut self, id: &str) {
        if let Some(operation) = self.last("operation") {
            *operation = json!(id);
        }
    }

    /// An empty line.
    pub fn gap(&mut self) -> Result<()> {
        self.line("")
    }

    /// What was claimed and does not hold, and how much was claimed.
    pub fn result(self) -> (usize, Vec<String>, Vec<Value>) {
        (self.claims, self.broken, self.scenes)
    }

    fn last(&mut self, member: &str) -> Option<&mut Value> {
        self.scenes.last_mut()?.get_mut(member)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        if self.output.is_json() {
            return Ok(());
        }
        self.output.line(line)?;
        self.output.flush()
    }

    fn width(&self) -> usize {
        self.output.width.map_or(WIDEST, usize::from)
    }
}

/// Breaks a text into lines of at most `width` characters, between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("aa bb  cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaa b", 3), ["aaaaaaa", "b"]);
        assert_eq!(wrap("", 3), [""; 0]);
    }
}
