//! The file that gets a line for each checkpoint of the audit chain: what is kept outside the database.
use std::{
    fs::File,
    io::{
        BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom,
        Write as _,
    },
    path::Path,
};

use crate::model::signing::Checkpoint;

/// More than one line takes.
const TAIL: u64 = 4_096;
/// Most checkpoints that are compared; of more, every other one is left out, the last never.
const COMPARED: usize = 10_000;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) checkpoints: Vec<Checkpoint>,
    /// Lines that are no checkpoint: a crash may leave half a one.
    pub(super) unreadable: usize,
}

/// Every checkpoint of a file, or so many of them that they show what all would show. None where
/// there is no file.
pub(super) fn read(file: &Path) -> Result<Option<Held>> {
    let open = match File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut held = Held::default();
    let mut lines = BufReader::new(open);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.by_ref().take(TAIL).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match serde_json::from_slice::<Checkpoint>(&line) {
            Ok(checkpoint) => held.checkpoints.push(checkpoint),
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(_) => held.unreadable += 1,
        }
        if held.checkpoints.len() > 2 * COMPARED {
            held.checkpoints = thinned(held.checkpoints, COMPARED);
        }
    }
    held.checkpoints = thinned(held.checkpoints, COMPARED);
    Ok(Some(held))
}

/// At most so many of these checkpoints, spread over all of them; the last one is among them.
#[must_use]
pub fn thinned(checkpoints: Vec<Checkpoint>, most: usize) -> Vec<Checkpoint> {
    let step = checkpoints.len().div_ceil(most.max(1)).max(1);
    let mut from_the_end: Vec<Checkpoint> = checkpoints.into_iter().rev().step_by(step).collect();
    from_the_end.reverse();
    from_the_end
}

/// The last checkpoint of a file; none where there is none.
pub(super) fn last(file: &Path) -> Result<Option<Checkpoint>> {
    let mut open = match File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = open.metadata()?.len();
    open.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    open.take(TAIL).read_to_end(&mut tail)?;
    let last = tail
        .split(|byte| *byte == b'\n')
        .rev()
        .find_map(|line| serde_json::from_slice::<Checkpoint>(line).ok());
    if last.is_none() && tail.iter().any(|byte| !byte.is_ascii_whitespace()) {
        // To begin it anew would look as if all were well.
        return Err(Error::new(
            ErrorKind::InvalidData,
            "its last lines are no checkpoints: move it away, or put right what is wrong with it",
        ));
    }
    Ok(last)
}

/// Appends checkpoints and waits until they are on disk.
pub(super) fn append(file: &Path, checkpoints: &[Checkpoint]) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut open = File::options()
        .create(true)
        .append(true)
        .read(true)
        .open(file)?;
    let mut text = String::new();
    // Half a line that a crash left stands alone.
    if !ends_with_line(&mut open)? {
        text.push('\n');
    }
    for checkpoint in checkpoints {
        text.push_str(&serde_json::to_string(checkpoint)?);
        text.push('\n');
    }
    open.write_all(text.as_bytes())?;
    open.sync_data()
}

fn ends_with_line(open: &mut File) -> Result<bool> {
    if open.metadata()?.len() == 0 {
        return Ok(true);
    }
    open.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8; 1];
    open.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(number: i64) -> Checkpoint {
        Checkpoint {
            number,
            position: number * 10,
            digest: "d".repeat(64),
            at: number,
            previous: "p".repeat(88),
            key: "k".repeat(16),
            signature: "s".repeat(88),
        }
    }

    #[test]
    fn half_a_line_of_a_crash_costs_nothing_but_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out/checkpoints.jsonl");
        assert!(read(&file).unwrap().is_none());
        append(&file, &[checkpoint(1), checkpoint(2)]).unwrap();
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"number\":3,\"posi");
        std::fs::write(&file, &text).unwrap();
        assert_eq!(last(&file).unwrap().unwrap().number, 2);
        append(&file, &[checkpoint(3)]).unwrap();
        let held = read(&file).unwrap().unwrap();
        let numbers: Vec<i64> = held.checkpoints.iter().map(|one| one.number).collect();
        assert_eq!((numbers, held.unreadable), (vec![1, 2, 3], 1));
        assert_eq!(last(&file).unwrap().unwrap().number, 3);
    }

    #[test]
    fn what_is_no_file_of_checkpoints_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints.jsonl");
        std::fs::write(&file, "something else\n").unwrap();
        assert!(
            last(&file)
                .unwrap_err()
                .to_string()
                .contains("no checkpoints")
        );
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(last(&file).unwrap(), None);
    }

    #[test]
    fn a_later_version_may_say_more() {
        let mut line = serde_json::to_value(checkpoint(4)).unwrap();
        line["purpose"] = "unheard of".into();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints.jsonl");
        std::fs::write(&file, format!("{line}\n")).unwrap();
        assert_eq!(last(&file).unwrap().unwrap(), checkpoint(4));
    }

    #[test]
    fn of_many_the_last_is_always_compared() {
        for count in [1, 9, 10, 11, 99, 1_000] {
            let some = thinned((1..=count).map(checkpoint).collect(), 10);
            assert!(some.len() <= 10 && !some.is_empty());
            assert_eq!(some.last().unwrap().number, count);
            assert!(some.is_sorted_by_key(|one| one.number));
        }
    }
}
