//! How two texts differ, line by line.
use super::markup;
use crate::app::HookVersion;

/// How many lines of a difference are shown.
const DIFFERENCE: usize = 200;

/// How two texts differ; the first may be an earlier version.
pub(super) struct Difference {
    pub(super) id: String,
    pub(super) digest: String,
    pub(super) lines: Vec<(&'static str, String)>,
    pub(super) is_cut: bool,
}

impl Difference {
    /// Line by line, from one text to another.
    pub(super) fn of(version: Option<&HookVersion>, before: &str, after: &str) -> Self {
        let before: Vec<&str> = before.lines().collect();
        let after: Vec<&str> = after.lines().collect();
        let mut lines: Vec<(&'static str, String)> = changed(&before, &after);
        let is_cut = lines.len() > DIFFERENCE;
        lines.truncate(DIFFERENCE);
        Self {
            id: version.map_or_else(String::new, |version| version.id.to_string()),
            digest: version.map_or_else(String::new, |version| {
                markup::short(&version.digest).to_owned()
            }),
            lines,
            is_cut,
        }
    }
}

/// The difference as lines: kept, `minus`, `plus`. Equal beginnings and ends are cut off first; what
/// is left is compared by its longest common part, or taken whole where it is very long.
fn changed(before: &[&str], after: &[&str]) -> Vec<(&'static str, String)> {
    let same = before
        .iter()
        .zip(after)
        .take_while(|(one, other)| one == other)
        .count();
    let rest = before.len().min(after.len()) - same;
    let ends = before.iter().rev().zip(after.iter().rev());
    let end = ends
        .take(rest)
        .take_while(|(one, other)| one == other)
        .count();
    let old = before.get(same..before.len() - end).unwrap_or_default();
    let new = after.get(same..after.len() - end).unwrap_or_default();
    let keep = |line: &&str| ("", (*line).to_owned());
    let head = before.iter().take(same).map(keep);
    let tail = before.iter().skip(before.len() - end).map(keep);
    head.chain(middle(old, new)).chain(tail).collect()
}

fn middle(old: &[&str], new: &[&str]) -> Vec<(&'static str, String)> {
    const LONGEST: usize = 800;
    let minus = |line: &&str| ("minus", (*line).to_owned());
    let plus = |line: &&str| ("plus", (*line).to_owned());
    if old.len() > LONGEST || new.len() > LONGEST {
        return old.iter().map(minus).chain(new.iter().map(plus)).collect();
    }
    // lengths[i][j]: the longest common part of old[i..] and new[j..].
    let width = new.len() + 1;
    let mut lengths = vec![0_usize; (old.len() + 1) * width];
    let at = |lengths: &[usize], i: usize, j: usize| {
        lengths.get(i * width + j).copied().unwrap_or_default()
    };
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            let longest = match one == other {
                true => at(&lengths, i + 1, j + 1) + 1,
                false => at(&lengths, i + 1, j).max(at(&lengths, i, j + 1)),
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = longest;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(one), Some(other)) if one == other => {
                lines.push(("", (*one).to_owned()));
                (i, j) = (i + 1, j + 1);
            }
            (Some(one), Some(_)) if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) => {
                lines.push(minus(one));
                i += 1;
            }
            (_, Some(other)) => {
                lines.push(plus(other));
                j += 1;
            }
            (Some(one), None) => {
                lines.push(minus(one));
                i += 1;
            }
            (None, None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_what_both_have() {
        let lines = changed(&["a", "b", "c", "d"], &["a", "c", "x", "d"]);
        let told: Vec<String> = lines
            .iter()
            .map(|(kind, text)| format!("{kind}{text}"))
            .collect();
        assert_eq!(told, ["a", "minusb", "c", "plusx", "d"]);
        assert!(
            changed(&["a"], &["a"])
                .iter()
                .all(|(kind, _)| kind.is_empty())
        );
        assert_eq!(changed(&[], &["a"]), [("plus", "a".to_owned())]);
        assert_eq!(changed(&["a", "a"], &["a"]).len(), 2);
    }
}
