//! Exports of the audit trail and of what reconciliations found: as many entries as there are, page
//! by page, in bounded memory.
use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderValue,
        header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::Response,
};
use futures::stream;
use serde_json::Value;

use super::{
    answer,
    call::{Call, has_word},
    error::Result,
    page,
    parameters::{Query, wrong},
};
use crate::{
    app::{
        App, Error, Found, Search, Veil,
        export::{AUDIT_COLUMNS, csv, csv_head, json_lines},
    },
    model::{
        audit::{ChainedEntry, Topic},
        pointer::Pointer,
        recon::Entry,
    },
};

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object in each line.
    JsonLines,
    /// RFC 4180 with one line of names.
    Csv,
}

/// How many entries are held at once.
const PAGE: usize = 500;

/// The columns of what a reconciliation found.
const RECON_COLUMNS: [&str; 12] = [
    "_id",
    "reconId",
    "reconciling",
    "situation",
    "action",
    "operation",
    "status",
    "sourceObjectId",
    "targetObjectId",
    "linkQualifier",
    "change",
    "message",
];

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The audit trail, or one topic of it.
    Audit(Option<Topic>),
    /// What a reconciliation found.
    Recon(uuid::Uuid),
}

/// Where an export stands.
struct Export {
    app: App,
    source: Source,
    search: Search,
    fields: Vec<Pointer>,
    format: Format,
    /// How many entries may still be sent (`_pageSize`); none: all.
    left: Option<usize>,
    /// What the reader does not see.
    veil: Arc<Veil>,
}

/// Sends every entry that the query finds. The first page is read before the answer begins, so
/// that what is wrong with the query is a proper error.
pub(super) async fn stream(
    app: App,
    veil: &Arc<Veil>,
    source: Source,
    query: Query,
    format: Format,
) -> Result<Response> {
    let mut export = Export {
        app,
        source,
        left: query.search.page_size,
        search: query.search,
        fields: query.fields,
        format,
        veil: Arc::clone(veil),
    };
    let first = export.page().await?;
    let head = export.head();
    let pages = stream::try_unfold((export, Some(first)), |(mut export, page)| async move {
        let Some(page) = page else { return Ok(None) };
        let text = export.lines(page.results.clone());
        let next = export.after(page).await?;
        Ok::<_, Error>(Some((text, (export, next))))
    });
    let pages = futures::StreamExt::chain(stream::iter(head.map(Ok)), pages);
    let mut response = Response::new(Body::from_stream(pages));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static(format.disposition(source)),
    );
    Ok(response)
}

impl Export {
    async fn page(&mut self) -> std::result::Result<Found<Value>, Error> {
        self.search.page_size = Some(self.left.map_or(PAGE, |left| left.min(PAGE)));
        let page = match self.source {
            Source::Audit(topic) => {
                let found = self.app.audit(topic, &self.search).await?;
                page::values(found, |entry: ChainedEntry| entry.to_value())
            }
            Source::Recon(id) => {
                let found = self.app.recon_entries(id, &self.search).await?;
                page::values(found, |entry: Entry| entry.to_value())
            }
        };
        self.search.offset = 0;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(page.results.len());
        }
        Ok(page)
    }

    /// The page after this one; none after the last.
    async fn after(
        &mut self,
        page: Found<Value>,
    ) -> std::result::Result<Option<Found<Value>>, Error> {
        if page.cookie.is_none() || self.left == Some(0) {
            return Ok(None);
        }
        self.search.cookie = page.cookie;
        self.page().await.map(Some)
    }

    fn head(&self) -> Option<Bytes> {
        let columns = self.source.columns();
        (self.format == Format::Csv).then(|| csv_head(columns).into())
    }

    fn lines(&self, entries: Vec<Value>) -> Bytes {
        let entries = entries.into_iter();
        let entries = entries.map(|entry| self.veil.document(None, entry));
        let columns = self.source.columns();
        match self.format {
            Format::JsonLines => {
                json_lines(entries.map(|entry| selected(entry, &self.fields))).into()
            }
            Format::Csv => csv(columns, entries).into(),
        }
    }
}

impl Source {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Audit(_) => &AUDIT_COLUMNS,
            Self::Recon(_) => &RECON_COLUMNS,
        }
    }
}

/// The format of an export; none: an ordinary answer.
pub(super) fn format(call: &Call) -> Result<Option<Format>> {
    match call.parameters().get("_format") {
        Some("json") => return Ok(None),
        Some("jsonl" | "ndjson") => return Ok(Some(Format::JsonLines)),
        Some("csv") => return Ok(Some(Format::Csv)),
        Some(other) => return Err(wrong("_format", "json, jsonl or csv", other)),
        None => {}
    }
    let accepts = |media| has_word(call.headers.get_all(ACCEPT), media);
    Ok(
        if accepts("application/x-ndjson") || accepts("application/jsonl") {
            Some(Format::JsonLines)
        } else if accepts("text/csv") {
            Some(Format::Csv)
        } else {
            None
        },
    )
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    fn disposition(self, source: Source) -> &'static str {
        match (source, self) {
            (Source::Audit(_), Self::JsonLines) => "attachment; filename=\"audit.jsonl\"",
            (Source::Audit(_), Self::Csv) => "attachment; filename=\"audit.csv\"",
            (Source::Recon(_), Self::JsonLines) => "attachment; filename=\"recon.jsonl\"",
            (Source::Recon(_), Self::Csv) => "attachment; filename=\"recon.csv\"",
        }
    }
}

fn selected(entry: Value, fields: &[Pointer]) -> Value {
    match entry {
        Value::Object(entry) => Value::Object(answer::select(entry, fields)),
        other => other,
    }
}
