//! Functions on dates, which are texts as in ISO 8601 (RFC 3339). None looks at a clock.
use std::{fmt::Write, sync::Arc};

use chrono::{
    DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone, Utc,
    format::{Item, StrftimeItems},
};
use rhai::Engine;

use super::function;
use crate::hooks::session::Session;

/// Bytes of a format.
const FORMAT_BYTES: usize = 200;

/// A day, or a moment; what is given as one is given back as one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Date {
    Day(NaiveDate),
    Moment(DateTime<FixedOffset>),
}

pub(super) fn register(engine: &mut Engine, session: &Arc<Session>) {
    register_formats(engine, session);
    register_sums(engine, session);
}

fn register_formats(engine: &mut Engine, session: &Arc<Session>) {
    let raising = Arc::clone(session);
    function(
        engine,
        "format_date",
        &["date: text", "format: text", "text"],
        "A date in another form: `format_date(\"2024-05-01\", \"%d.%m.%Y\")` is `01.05.2024`.\n\
         Forms are made of `%Y %m %d %H %M %S %j %b %B %a %A %y %z` and text.\n\
         The date is one as in ISO 8601, with or without a time, or `20240501093000Z` as in LDAP.",
        move |date: &str, format: &str| {
            let date = parse(date).map_err(|message| raising.raise(message))?;
            written(date, format).map_err(|message| raising.raise(message))
        },
    );
    let raising = Arc::clone(session);
    function(
        engine,
        "parse_date",
        &["text: text", "format: text", "text"],
        "A date as in ISO 8601, read from another form:\n\
         `parse_date(\"01.05.2024\", \"%d.%m.%Y\")` is `2024-05-01`.",
        move |text: &str, format: &str| {
            read(text, format)
                .map(Date::iso)
                .map_err(|message| raising.raise(message))
        },
    );
    function(
        engine,
        "is_date",
        &["text: text", "boolean"],
        "Whether a text is a date that the other functions understand.",
        |text: &str| parse(text).is_ok(),
    );
}

fn register_sums(engine: &mut Engine, session: &Arc<Session>) {
    let raising = Arc::clone(session);
    function(
        engine,
        "date_add_days",
        &["date: text", "days: integer", "text"],
        "The date so many days later, or earlier where the number is negative.",
        move |date: &str, days: i64| {
            let moved = parse(date).and_then(|date| date.plus(days));
            moved
                .map(Date::iso)
                .map_err(|message| raising.raise(message))
        },
    );
    let raising = Arc::clone(session);
    function(
        engine,
        "date_in_utc",
        &["date: text", "text"],
        "The same moment in UTC; a date without a time stays as it is.",
        move |date: &str| {
            let moved = parse(date).map(|date| match date {
                Date::Moment(moment) => Date::Moment(moment.to_utc().fixed_offset()),
                day => day,
            });
            moved
                .map(Date::iso)
                .map_err(|message| raising.raise(message))
        },
    );
    let raising = Arc::clone(session);
    function(
        engine,
        "days_between",
        &["from: text", "to: text", "integer"],
        "The number of days from one date to another; negative where the other is earlier.\n\
         Times of day are left aside.",
        move |from: &str, to: &str| {
            let difference = || Ok::<_, String>((parse(to)?.day() - parse(from)?.day()).num_days());
            difference().map_err(|message| raising.raise(message))
        },
    );
}

/// The time of a clock as scripts see it.
pub(super) fn instant(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Date {
    fn day(self) -> NaiveDate {
        match self {
            Self::Day(day) => day,
            Self::Moment(moment) => moment.date_naive(),
        }
    }

    fn moment(self) -> DateTime<FixedOffset> {
        match self {
            Self::Day(day) => Utc.from_utc_datetime(&day.into()).fixed_offset(),
            Self::Moment(moment) => moment,
        }
    }

    fn plus(self, days: i64) -> Result<Self, String> {
        let count = Days::new(days.unsigned_abs());
        let moved = match (self, days >= 0) {
            (Self::Day(day), true) => day.checked_add_days(count).map(Self::Day),
            (Self::Day(day), false) => day.checked_sub_days(count).map(Self::Day),
            (Self::Moment(moment), true) => moment.checked_add_days(count).map(Self::Moment),
            (Self::Moment(moment), false) => moment.checked_sub_days(count).map(Self::Moment),
        };
        moved.ok_or_else(|| format!("{days} days lead out of the calendar"))
    }

    fn iso(self) -> String {
        match self {
            Self::Day(day) => day.to_string(),
            Self::Moment(moment) => moment.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        }
    }
}

fn parse(text: &str) -> Result<Date, String> {
    let text = text.trim();
    let moment = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y%m%d%H%M%S%.f%#z"));
    if let Ok(moment) = moment {
        return Ok(Date::Moment(moment));
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(Date::Day(day));
    }
    [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y%m%d%H%M%S%.fZ",
        "%Y-%m-%dT%H:%M",
    ]
    .iter()
    .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    .map(|moment| Date::Moment(moment.and_utc().fixed_offset()))
    .ok_or_else(|| "this is no date as in ISO 8601, such as 2024-05-01T09:30:00Z".to_owned())
}

fn written(date: Date, format: &str) -> Result<String, String> {
    check(format)?;
    let mut text = String::new();
    write!(text, "{}", date.moment().format(format))
        .map_err(|_| format!("the form `{format}` does not fit a date"))?;
    Ok(text)
}

fn read(text: &str, format: &str) -> Result<Date, String> {
    check(format)?;
    let text = text.trim();
    if let Ok(moment) = DateTime::parse_from_str(text, format) {
        return Ok(Date::Moment(moment));
    }
    if let Ok(moment) = NaiveDateTime::parse_from_str(text, format) {
        return Ok(Date::Moment(moment.and_utc().fixed_offset()));
    }
    NaiveDate::parse_from_str(text, format)
        .map(Date::Day)
        .map_err(|_| format!("the text is no date in the form `{format}`"))
}

fn check(format: &str) -> Result<(), String> {
    let wrong = StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
    if wrong || format.len() > FORMAT_BYTES {
        return Err("the form of the date is wrong: use marks such as %Y-%m-%d".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_the_forms_that_systems_use() {
        for (text, iso) in [
            ("2024-05-01", "2024-05-01"),
            (" 2024-05-01T09:30:00Z ", "2024-05-01T09:30:00Z"),
            (
                "2024-05-01T09:30:00.5+02:00",
                "2024-05-01T09:30:00.500+02:00",
            ),
            ("2024-05-01 09:30:00", "2024-05-01T09:30:00Z"),
            ("2024-05-01T09:30", "2024-05-01T09:30:00Z"),
            ("20240501093000Z", "2024-05-01T09:30:00Z"),
            ("20240501093000.0Z", "2024-05-01T09:30:00Z"),
            ("20240501093000+0200", "2024-05-01T09:30:00+02:00"),
        ] {
            assert_eq!(parse(text).map(Date::iso), Ok(iso.to_owned()), "{text}");
        }
        for wrong in ["", "01.05.2024", "2024-13-01", "yesterday", "2024-02-30"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn forms_are_checked_before_they_are_used() {
        let day = parse("2024-05-01").unwrap();
        assert_eq!(written(day, "%d.%m.%y"), Ok("01.05.24".to_owned()));
        assert!(written(day, "%Q").is_err());
        assert!(written(day, &"%Y".repeat(200)).is_err());
        let read = |text, form| read(text, form).map(Date::iso);
        assert_eq!(read("1.5.2024", "%d.%m.%Y"), Ok("2024-05-01".to_owned()));
        assert!(read("1.5.2024", "%Y").is_err());
    }

    #[test]
    fn days_are_counted_over_leap_years_and_to_the_ends_of_the_calendar() {
        let plus = |text, days| parse(text).and_then(|date| date.plus(days)).map(Date::iso);
        assert_eq!(plus("2024-02-28", 2), Ok("2024-03-01".to_owned()));
        assert_eq!(
            plus("2024-03-01T01:00:00Z", -1),
            Ok("2024-02-29T01:00:00Z".to_owned())
        );
        assert!(plus("2024-02-28", i64::MAX).is_err());
        assert!(plus("2024-02-28", i64::MIN).is_err());
    }
}
