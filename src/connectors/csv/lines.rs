//! The lines of a CSV file as they are written: what Recant does not touch stays so, byte by byte.

/// How a row is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The blank lines above it.
    pub lead: Vec<u8>,
    /// The row itself.
    pub body: Vec<u8>,
    /// What ends it.
    pub end: End,
}

/// What ends a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// Nothing: it is the last one of the file.
    #[default]
    None,
    /// A line feed.
    Feed,
    /// A carriage return.
    Return,
    /// Both.
    ReturnFeed,
}

impl End {
    /// As it is written.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Feed => b"\n",
            Self::Return => b"\r",
            Self::ReturnFeed => b"\r\n",
        }
    }

    /// The same, or another one where it is none.
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::None => other,
            own => own,
        }
    }

    /// The end of a line at the beginning of a text.
    fn of(text: &[u8]) -> Self {
        match text {
            [b'\r', b'\n', ..] => Self::ReturnFeed,
            [b'\r', ..] => Self::Return,
            [b'\n', ..] => Self::Feed,
            _ => Self::None,
        }
    }
}

/// Where a byte stands within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// At the beginning of a cell.
    Start,
    /// In a cell without quotes, or behind its closing one.
    Cell,
    /// Between quotes.
    Quotes,
    /// Behind a quote that ends them, or stands for one.
    Quote,
}

/// Cuts a text into its rows, as the parser of the cells does, and the blank lines at its end.
pub fn split(text: &[u8], delimiter: u8) -> (Vec<Text>, Vec<u8>) {
    let mut rows = Vec::new();
    let mut rest = text;
    loop {
        let blank = rest.iter().take_while(|byte| is_end(**byte)).count();
        let (lead, after) = rest.split_at(blank);
        if after.is_empty() {
            return (rows, lead.to_vec());
        }
        let (body, after) = after.split_at(length(after, delimiter));
        let end = End::of(after);
        rows.push(Text {
            lead: lead.to_vec(),
            body: body.to_vec(),
            end,
        });
        rest = after.get(end.bytes().len()..).unwrap_or_default();
    }
}

/// How many bytes the first row of a text has.
fn length(text: &[u8], delimiter: u8) -> usize {
    let mut within = Within::Start;
    for (index, byte) in text.iter().enumerate() {
        within = match (within, *byte) {
            (Within::Quotes, b'"') => Within::Quote,
            (Within::Quotes, _) | (Within::Start | Within::Quote, b'"') => Within::Quotes,
            (_, byte) if byte == delimiter => Within::Start,
            (_, byte) if is_end(byte) => return index,
            _ => Within::Cell,
        };
    }
    text.len()
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(rows: &[Text], tail: &[u8]) -> Vec<u8> {
        let parts = rows
            .iter()
            .flat_map(|row| [&*row.lead, &*row.body, row.end.bytes()]);
        let mut text = parts.collect::<Vec<_>>().concat();
        text.extend_from_slice(tail);
        text
    }

    #[test]
    fn rows_and_blank_lines_are_told_apart() {
        let text = b"a,b\r\n\n1,\"x\ny\"\n\n\n\"q\"\"r\",2\r3,4";
        let (rows, tail) = split(text, b',');
        let bodies: Vec<&[u8]> = rows.iter().map(|row| &*row.body).collect();
        assert_eq!(
            bodies,
            [&b"a,b"[..], b"1,\"x\ny\"", b"\"q\"\"r\",2", b"3,4"]
        );
        assert_eq!((rows[1].lead.len(), rows[2].lead.len()), (1, 2));
        assert_eq!(rows[3].end, End::None);
        assert_eq!(joined(&rows, &tail), text);
        assert_eq!(split(b"a\n\n\r\n", b',').1, b"\n\r\n");
    }

    proptest::proptest! {
        #[test]
        fn the_parser_of_the_cells_sees_the_same_rows(text in "[a,\"\\r\\n;]{0,24}") {
            let (rows, tail) = split(text.as_bytes(), b',');
            proptest::prop_assert_eq!(joined(&rows, &tail), text.as_bytes());
            let records = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes())
                .into_records();
            let records: Vec<csv::StringRecord> = records.map(Result::unwrap).collect();
            proptest::prop_assert_eq!(rows.len(), records.len());
            for (row, record) in rows.iter().zip(&records) {
                let mut alone = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .from_reader(&*row.body)
                    .into_records();
                let alone = alone.next().unwrap().unwrap();
                proptest::prop_assert_eq!(
                    alone.iter().collect::<Vec<_>>(),
                    record.iter().collect::<Vec<_>>()
                );
            }
        }
    }
}
