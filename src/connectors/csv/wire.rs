//! Between the text of a CSV file and objects: every value is text, an empty cell is no attribute.
use std::collections::HashSet;

use serde_json::Value;

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
    rows: Vec<Vec<String>>,
    delimiter: u8,
    has_mark: bool,
    has_carriage_returns: bool,
}

impl Table {
    /// Reads a file's text; `key` is the column that identifies a row.
    ///
    /// # Errors
    /// Refused where the text is no table with that column, with the line.
    pub fn parse(text: &[u8], key: &str, delimiter: u8) -> Result<Self, Error> {
        let stripped = text.strip_prefix(BYTE_ORDER_MARK);
        let mut records = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(stripped.unwrap_or(text))
            .into_records();
        let header = match records.next() {
            Some(record) => cells(&record.map_err(|error| unreadable(&error))?),
            None => Vec::new(),
        };
        let mut table = Self {
            key: key.to_owned(),
            header,
            rows: Vec::new(),
            delimiter,
            has_mark: stripped.is_some(),
            has_carriage_returns: has_carriage_returns(text),
        };
        table.check_header()?;
        for record in records {
            let record = record.map_err(|error| unreadable(&error))?;
            let mut row = cells(&record);
            if row.len() > table.header.len() {
                let line = record.position().map_or(0, csv::Position::line);
                let message = format!("line {line} has more cells than the header");
                return Err(Error::refused(400, message));
            }
            row.resize(table.header.len(), String::new());
            table.rows.push(row);
        }
        Ok(table)
    }

    /// The file's text.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub fn render(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        if self.has_mark {
            text.extend_from_slice(BYTE_ORDER_MARK);
        }
        let terminator = if self.has_carriage_returns {
            csv::Terminator::CRLF
        } else {
            csv::Terminator::Any(b'\n')
        };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .terminator(terminator)
            .from_writer(text);
        let failed = |error| Error::refused(500, "the table cannot be written down").because(error);
        for record in std::iter::once(&self.header).chain(&self.rows) {
            writer.write_record(record).map_err(failed)?;
        }
        writer
            .into_inner()
            .map_err(|error| failed(error.into_error().into()))
    }

    /// The row with this id.
    ///
    /// # Errors
    /// Refused where two rows have it.
    pub fn object(&self, id: &str) -> Result<Option<TargetObject>, Error> {
        let row = self.find(id)?.and_then(|index| self.rows.get(index));
        Ok(row.map(|row| self.to_object(id, row)))
    }

    /// Every row that has an id.
    pub fn objects(&self) -> impl Iterator<Item = TargetObject> {
        let key = self.column(&self.key);
        self.rows.iter().filter_map(move |row| {
            let id = row.get(key?).filter(|id| !id.is_empty())?;
            Some(self.to_object(id, row))
        })
    }

    /// Adds a row and gives it as it reads now. An empty table gets its header: the key, `columns`
    /// and what else the row has.
    ///
    /// # Errors
    /// Refused where the id is taken or there is none, or a value or a column does not fit.
    pub fn create(
        &mut self,
        id: Option<&str>,
        object: &Object,
        columns: &[String],
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
        }
        let mut row = vec![String::new(); self.header.len()];
        self.put(&mut row, &self.key, id.to_owned())?;
        for (name, value) in object {
            self.set(&mut row, name, value)?;
        }
        let created = self.to_object(id, &row);
        self.rows.push(row);
        Ok(created)
    }

    /// Changes a row and gives it as it reads now.
    ///
    /// # Errors
    /// Refused where the row is gone, no longer holds the old values, or cannot hold the new ones.
    pub fn update(&mut self, update: &Update<'_>) -> Result<TargetObject, Error> {
        let before = update.before;
        let index = self
            .find(&before.id)?
            .ok_or_else(|| Error::refused(412, format!("row `{}` is gone", before.id)))?;
        let mut row = self.rows.get(index).cloned().unwrap_or_default();
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
        if let Some(place) = self.rows.get_mut(index) {
            *place = row;
        }
        Ok(changed)
    }

    /// Takes a row out; false where it was gone already.
    ///
    /// # Errors
    /// Refused where the row no longer holds the old values.
    pub fn delete(&mut self, before: &TargetObject) -> Result<bool, Error> {
        let Some(index) = self.find(&before.id)? else {
            return Ok(false);
        };
        let row = self.rows.get(index).cloned().unwrap_or_default();
        let names = before.attributes.keys().chain(&self.header);
        for name in names.filter(|name| **name != self.key) {
            self.expect(&row, before, name)?;
        }
        self.rows.remove(index);
        Ok(true)
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
            .filter(|(_, row)| row.get(key).is_some_and(|cell| cell == id));
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

fn has_carriage_returns(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b'\n');
    end.and_then(|end| text.get(end.checked_sub(1)?))
        .is_some_and(|byte| *byte == b'\r')
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
