//! Between the text of a CSV file and objects: every value is text, an empty cell is no attribute.
use std::collections::HashSet;

use serde_json::Value;

use super::lines::{self, End, Text};
use crate::{
    connectors::{Error, Update},
    model::{Difference, Object, TargetObject, TargetWrite},
};

/// U+FEFF in UTF-8, which some programs put in front.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A whole file, with everything that Recant does not touch as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    key: String,
    /// Empty where the file is empty or missing.
    header: Vec<String>,
    /// How the header is written.
    top: Text,
    rows: Vec<Row>,
    delimiter: u8,
    has_mark: bool,
    /// Blank lines at the end.
    tail: Vec<u8>,
}

/// A row: its cells, and how they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    cells: Vec<String>,
    text: Text,
}

/// A row as it stood before a write of Recant's, so that an undo writes it as it was, where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    row: Row,
    /// How many rows stood above it.
    index: usize,
    /// The ids of its neighbours, where they have any.
    above: Option<String>,
    below: Option<String>,
    /// How the line of the row above it ended.
    above_end: Option<End>,
}

impl Table {
    /// Reads a file's text; `key` is the column that identifies a row.
    ///
    /// # Errors
    /// Refused where the text is no table with that column, with the line.
    pub fn parse(text: &[u8], key: &str, delimiter: u8) -> Result<Self, Error> {
        let stripped = text.strip_prefix(BYTE_ORDER_MARK);
        let text = stripped.unwrap_or(text);
        let mut records = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text)
            .into_records();
        let (texts, tail) = lines::split(text, delimiter);
        let mut texts = texts.into_iter();
        let header = match records.next() {
            Some(record) => cells(&record.map_err(|error| unreadable(&error))?),
            None => Vec::new(),
        };
        let mut table = Self {
            key: key.to_owned(),
            header,
            top: texts.next().unwrap_or_default(),
            rows: Vec::with_capacity(texts.len()),
            delimiter,
            has_mark: stripped.is_some(),
            tail,
        };
        table.check_header()?;
        for record in records {
            let record = record.map_err(|error| unreadable(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let mut cells = cells(&record);
            if cells.len() > table.header.len() {
                let message = format!("line {line} has more cells than the header");
                return Err(Error::refused(400, message));
            }
            cells.resize(table.header.len(), String::new());
            let text = texts.next().ok_or_else(|| no_line(line))?;
            table.rows.push(Row { cells, text });
        }
        match texts.next() {
            Some(_) => Err(no_line(0)),
            None => Ok(table),
        }
    }

    /// The file's text: each row as it is written, with a line's end where it has none and another
    /// one follows.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if self.has_mark {
            text.extend_from_slice(BYTE_ORDER_MARK);
        }
        let top = (!self.header.is_empty()).then_some(&self.top);
        let mut lines = top.into_iter().chain(self.rows.iter().map(|row| &row.text));
        let mut line = lines.next();
        while let Some(one) = line {
            line = lines.next();
            text.extend_from_slice(&one.lead);
            text.extend_from_slice(&one.body);
            let end = match (one.end, line) {
                (End::None, Some(_)) => self.top.end.or(End::Feed),
                (end, _) => end,
            };
            text.extend_from_slice(end.bytes());
        }
        text.extend_from_slice(&self.tail);
        text
    }

    /// The row with this id.
    ///
    /// # Errors
    /// Refused where two rows have it.
    pub fn object(&self, id: &str) -> Result<Option<TargetObject>, Error> {
        let row = self.find(id)?.and_then(|index| self.rows.get(index));
        Ok(row.map(|row| self.to_object(id, &row.cells)))
    }

    /// Every row that has an id.
    pub fn objects(&self) -> impl Iterator<Item = TargetObject> {
        let key = self.column(&self.key);
        self.rows.iter().filter_map(move |row| {
            let id = row.cells.get(key?).filter(|id| !id.is_empty())?;
            Some(self.to_object(id, &row.cells))
        })
    }

    /// Adds a row and gives it as it reads now. An empty table gets its header: the key, `columns`
    /// and what else the row has. A row that was there before (`former`) is put back as it was.
    ///
    /// # Errors
    /// Refused where the id is taken or there is none, or a value or a column does not fit.
    pub fn create(
        &mut self,
        id: Option<&str>,
        object: &Object,
        columns: &[String],
        former: Option<&Former>,
    ) -> Result<TargetObject, Error> {
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Error::refused(400, "a CSV file gives no ids: the mapping has to set `_id`")
        })?;
        if self.find(id)?.is_some() {
            return Err(self.taken(id));
        }
        if self.header.is_empty() {
            self.header.push(self.key.clone());
            let names = object.iter().filter(|(_, value)| !value.is_null());
            for name in columns.iter().chain(names.map(|(name, _)| name)) {
                if self.column(name).is_none() {
                    self.header.push(name.clone());
                }
            }
            self.top = Text {
                body: self.written(&self.header)?,
                end: End::Feed,
                ..Text::default()
            };
        }
        let mut row = vec![String::new(); self.header.len()];
        self.put(&mut row, &self.key, id.to_owned())?;
        for (name, value) in object {
            self.set(&mut row, name, value)?;
        }
        let created = self.to_object(id, &row);
        match former.filter(|former| former.row.cells == row) {
            Some(former) => {
                let index = self.index_of(former)?;
                self.rows.insert(index, former.row.clone());
                let above = index.checked_sub(1);
                if let Some(above) = above.and_then(|above| self.rows.get_mut(above))
                    && let (End::None, Some(end)) = (above.text.end, former.above_end)
                {
                    above.text.end = end;
                }
            }
            None => {
                let last = self.rows.last().map_or(&self.top, |last| &last.text);
                let text = Text {
                    body: self.written(&row)?,
                    end: last.end,
                    ..Text::default()
                };
                self.rows.push(Row { cells: row, text });
            }
        }
        Ok(created)
    }

    /// Where a row goes back to: beside those that it stood between.
    fn index_of(&self, former: &Former) -> Result<usize, Error> {
        let find = |id: &Option<String>| match id {
            Some(id) => self.find(id),
            None => Ok(None),
        };
        if let Some(above) = find(&former.above)? {
            return Ok(above + 1);
        }
        let below = find(&former.below)?;
        Ok(below.unwrap_or_else(|| former.index.min(self.rows.len())))
    }

    /// What tells how a row is written, and where.
    fn former(&self, index: usize) -> Option<Former> {
        let key = self.column(&self.key)?;
        let id = |index: usize| {
            let id = self.rows.get(index)?.cells.get(key)?;
            (!id.is_empty()).then(|| id.clone())
        };
        Some(Former {
            row: self.rows.get(index)?.clone(),
            index,
            above: index.checked_sub(1).and_then(id),
            below: id(index + 1),
            above_end: index
                .checked_sub(1)
                .and_then(|above| Some(self.rows.get(above)?.text.end)),
        })
    }

    /// A row as Recant writes it, without the end of the line.
    fn written(&self, cells: &[String]) -> Result<Vec<u8>, Error> {
        let failed = |error| Error::refused(500, "the row cannot be written down").because(error);
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .terminator(csv::Terminator::Any(b'\n'))
            .from_writer(Vec::new());
        writer.write_record(cells).map_err(failed)?;
        let text = writer.into_inner();
        let mut text = text.map_err(|error| failed(error.into_error().into()))?;
        text.pop();
        Ok(text)
    }

    /// Changes a row and gives it as it reads now, with what it was. Where it becomes what it was
    /// before (`former`), it is written as it was.
    ///
    /// # Errors
    /// Refused where the row is gone, no longer holds the old values, or cannot hold the new ones.
    pub fn update(
        &mut self,
        update: &Update<'_>,
        former: Option<&Former>,
    ) -> Result<(TargetObject, Option<Former>), Error> {
        let before = update.before;
        let index = self
            .find(&before.id)?
            .ok_or_else(|| Error::refused(412, format!("row `{}` is gone", before.id)))?;
        let held = self.rows.get(index).map(|row| row.cells.clone());
        let mut row = held.unwrap_or_default();
        let difference = Difference::between(&before.attributes, update.after);
        for name in difference.attributes() {
            self.expect(&row, before, name)?;
        }
        for (name, value) in &difference.set {
            self.set(&mut row, name, value)?;
        }
        for name in &difference.removed {
            self.set(&mut row, name, &Value::Null)?;
        }
        let id = update.rename.unwrap_or(&before.id);
        if id != before.id {
            if id.is_empty() || self.find(id)?.is_some() {
                return Err(self.taken(id));
            }
            self.put(&mut row, &self.key, id.to_owned())?;
        }
        let changed = self.to_object(id, &row);
        let was = self.former(index);
        let body = match former.filter(|former| former.row.cells == row) {
            Some(former) => former.row.text.body.clone(),
            None => self.written(&row)?,
        };
        if let Some(place) = self.rows.get_mut(index)
            && place.cells != row
        {
            place.cells = row;
            place.text.body = body;
        }
        Ok((changed, was))
    }

    /// Takes a row out and gives what it was; none where it was gone already.
    ///
    /// # Errors
    /// Refused where the row no longer holds the old values.
    pub fn delete(&mut self, before: &TargetObject) -> Result<Option<Former>, Error> {
        let Some(index) = self.find(&before.id)? else {
            return Ok(None);
        };
        let held = self.rows.get(index).map(|row| row.cells.clone());
        let row = held.unwrap_or_default();
        let names = before.attributes.keys().chain(&self.header);
        for name in names.filter(|name| **name != self.key) {
            self.expect(&row, before, name)?;
        }
        let was = self.former(index);
        let gone = self.rows.remove(index);
        // A file that ends without a line's end goes on doing so.
        if index == self.rows.len()
            && gone.text.end == End::None
            && let Some(last) = self.rows.last_mut()
        {
            last.text.end = End::None;
        }
        Ok(was)
    }

    fn check_header(&self) -> Result<(), Error> {
        let mut seen = HashSet::new();
        if let Some(twice) = self.header.iter().find(|name| !seen.insert(*name)) {
            let message = format!("the header has two columns `{twice}`");
            return Err(Error::refused(400, message));
        }
        if !self.header.is_empty() && self.column(&self.key).is_none() {
            let message = format!("the header has no column `{}` (`key`)", self.key);
            return Err(Error::refused(400, message));
        }
        Ok(())
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    fn find(&self, id: &str) -> Result<Option<usize>, Error> {
        let Some(key) = self.column(&self.key).filter(|_| !id.is_empty()) else {
            return Ok(None);
        };
        let mut found = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.cells.get(key).is_some_and(|cell| cell == id));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Error::refused(
                409,
                format!("two rows have `{id}` in column `{}`", self.key),
            )),
            (first, _) => Ok(first.map(|(index, _)| index)),
        }
    }

    fn to_object(&self, id: &str, row: &[String]) -> TargetObject {
        let attributes = self
            .header
            .iter()
            .zip(row)
            .filter(|(name, cell)| **name != self.key && !cell.is_empty())
            .map(|(name, cell)| (name.clone(), Value::String(cell.clone())))
            .collect();
        TargetObject {
            id: id.to_owned(),
            attributes,
            version: None,
        }
    }

    /// Refuses where a cell no longer holds what was read.
    fn expect(&self, row: &[String], before: &TargetObject, name: &str) -> Result<(), Error> {
        let was = before
            .attributes
            .get(name)
            .map_or(Ok(String::new()), |value| cell(name, value))?;
        let is = self.column(name).and_then(|column| row.get(column));
        if is.map_or("", String::as_str) == was {
            return Ok(());
        }
        let message = format!("row `{}` was changed in column `{name}`", before.id);
        Err(Error::refused(412, message))
    }

    fn set(&self, row: &mut [String], name: &str, value: &Value) -> Result<(), Error> {
        if name == self.key {
            let message = format!("column `{name}` is the key: map it as `_id`");
            return Err(Error::refused(400, message));
        }
        if value.is_null() && self.column(name).is_none() {
            return Ok(());
        }
        self.put(row, name, cell(name, value)?)
    }

    fn put(&self, row: &mut [String], name: &str, text: String) -> Result<(), Error> {
        match self.column(name).and_then(|column| row.get_mut(column)) {
            Some(place) => {
                *place = text;
                Ok(())
            }
            None => Err(Error::refused(
                400,
                format!("the file has no column `{name}`"),
            )),
        }
    }

    fn taken(&self, id: &str) -> Error {
        Error::refused(409, format!("there is a row `{id}` already"))
    }
}

fn cell(name: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => Err(Error::refused(
            400,
            format!("column `{name}` holds text: a list or an object does not fit"),
        )),
    }
}

/// A planned write as the file holds it: every value is text, and an empty one is none. What does not
/// fit stays as it is; to write it is refused.
#[must_use]
pub fn refined(write: TargetWrite) -> TargetWrite {
    let text = |value: &Value| match value {
        Value::Null => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        other => other.clone(),
    };
    match write {
        TargetWrite::Create { id, mut after } => {
            for value in after.values_mut() {
                *value = text(value);
            }
            TargetWrite::Create { id, after }
        }
        TargetWrite::Update {
            before,
            mut after,
            rename,
        } => {
            for value in after.values_mut() {
                *value = text(value);
            }
            after.retain(|_, value| !value.is_null());
            TargetWrite::Update {
                before,
                after,
                rename,
            }
        }
        delete @ TargetWrite::Delete { .. } => delete,
    }
}

fn cells(record: &csv::StringRecord) -> Vec<String> {
    record.iter().map(str::to_owned).collect()
}

/// The error of the parser as ours. Its own text would show cells.
fn unreadable(error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    Error::refused(400, format!("line {line} is no UTF-8 text in CSV form"))
}

fn no_line(line: u64) -> Error {
    Error::refused(
        400,
        format!("line {line} cannot be told from its neighbours"),
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
