//! Functions on text. All give a new text and leave the old one as it is.
use rhai::{Array, Engine, ImmutableString};

use super::{Bounds, function, letters};
use crate::hooks::session::Raised;

/// A name, what it does, and its page.
type Plain = (&'static str, fn(&str) -> String, &'static str);

/// Functions that take one text and give one, with their pages.
const PLAIN: [Plain; 10] = [
    (
        "lower",
        |text| text.to_lowercase(),
        "The text in lower case.",
    ),
    (
        "upper",
        |text| text.to_uppercase(),
        "The text in upper case.",
    ),
    (
        "trim",
        |text| text.trim().to_owned(),
        "The text without white space at its ends.",
    ),
    (
        "capitalize",
        capitalize,
        "The text with its first letter in upper case.",
    ),
    (
        "title_case",
        title_case,
        "Each word with a first letter in upper case, the rest in lower: `Anna-Lena Of Oz`.",
    ),
    (
        "ascii",
        letters::ascii,
        "The text in plain Latin letters: `ä` becomes `ae`, `ß` `ss`, `é` `e`, `ł` `l`.\n\
         What has no such form is dropped.",
    ),
    (
        "slug",
        letters::slug,
        "The text as it can stand in an address: lower-case letters, digits and single hyphens.",
    ),
    (
        "initials",
        initials,
        "The first letter of each word, in upper case.",
    ),
    (
        "digits",
        |text| text.chars().filter(char::is_ascii_digit).collect(),
        "Only the digits of a text: of a telephone number, say.",
    ),
    (
        "squeeze",
        |text| text.split_whitespace().collect::<Vec<_>>().join(" "),
        "The text trimmed, and all white space inside as single spaces.",
    ),
];

pub(super) fn register(engine: &mut Engine, bounds: Bounds) {
    for (name, plain, page) in PLAIN {
        function(
            engine,
            name,
            &["text: text", "text"],
            page,
            move |text: &str| bounds.text(plain(text)),
        );
        let none = "A missing value stays missing.";
        function(engine, name, &["value: ()", "()"], none, move |_: ()| {});
    }
    register_parts(engine);
    register_padding(engine, bounds);
    register_replacing(engine, bounds);
}

fn register_parts(engine: &mut Engine) {
    function(
        engine,
        "left",
        &["text: text", "count: integer", "text"],
        "The first letters of a text; the whole text where it is shorter.",
        |text: &str, count: i64| text.chars().take(length(count)).collect::<String>(),
    );
    function(
        engine,
        "right",
        &["text: text", "count: integer", "text"],
        "The last letters of a text; the whole text where it is shorter.",
        |text: &str, count: i64| {
            let skipped = text.chars().count().saturating_sub(length(count));
            text.chars().skip(skipped).collect::<String>()
        },
    );
    function(
        engine,
        "substring",
        &["text: text", "start: integer", "end: integer", "text"],
        "The letters from `start` (counted from 0) up to but without `end`.",
        |text: &str, start: i64, end: i64| {
            let (start, end) = (length(start), length(end));
            let count = end.saturating_sub(start);
            text.chars().skip(start).take(count).collect::<String>()
        },
    );
    function(
        engine,
        "before",
        &["text: text", "mark: text", "text"],
        "What stands before the first `mark`; the whole text where there is none.",
        |text: &str, mark: &str| {
            text.split_once(mark)
                .map_or(text, |(head, _)| head)
                .to_owned()
        },
    );
    function(
        engine,
        "after",
        &["text: text", "mark: text", "text"],
        "What stands after the first `mark`; an empty text where there is none.",
        |text: &str, mark: &str| {
            text.split_once(mark)
                .map_or("", |(_, tail)| tail)
                .to_owned()
        },
    );
}

fn register_padding(engine: &mut Engine, bounds: Bounds) {
    function(
        engine,
        "pad_left",
        &["text: text", "length: integer", "fill: text", "text"],
        "The text, filled up at its start to a number of letters: `\"7\".pad_left(3, \"0\")` is `007`.",
        move |text: &str, wanted: i64, fill: &str| {
            Ok::<_, Raised>(format!("{}{text}", padding(text, wanted, fill, bounds)?))
        },
    );
    function(
        engine,
        "pad_right",
        &["text: text", "length: integer", "fill: text", "text"],
        "The text, filled up at its end to a number of letters.",
        move |text: &str, wanted: i64, fill: &str| {
            Ok::<_, Raised>(format!("{text}{}", padding(text, wanted, fill, bounds)?))
        },
    );
    let pad = "Fills the text up at its end, in place.";
    function(
        engine,
        "pad",
        &["text: text", "length: integer", "fill: text", "()"],
        pad,
        move |text: &mut ImmutableString, wanted: i64, fill: &str| {
            *text += padding(text, wanted, fill, bounds)?;
            Ok::<_, Raised>(())
        },
    );
    function(
        engine,
        "pad",
        &["text: text", "length: integer", "fill: character", "()"],
        pad,
        move |text: &mut ImmutableString, wanted: i64, fill: char| {
            *text += padding(text, wanted, fill.encode_utf8(&mut [0; 4]), bounds)?;
            Ok::<_, Raised>(())
        },
    );
}

fn register_replacing(engine: &mut Engine, bounds: Bounds) {
    let page = "The text with every `found` replaced. It gives a new text and changes none.";
    function(
        engine,
        "replace",
        &["text: text", "found: text", "instead: text", "text"],
        page,
        move |text: &str, found: &str, instead: &str| replace(text, found, instead, bounds),
    );
    function(
        engine,
        "replace",
        &[
            "text: text",
            "found: character",
            "instead: character",
            "text",
        ],
        page,
        move |text: &str, found: char, instead: char| {
            let (found, instead) = (found.to_string(), instead.to_string());
            replace(text, &found, &instead, bounds)
        },
    );
    function(
        engine,
        "replace",
        &["text: text", "found: character", "instead: text", "text"],
        page,
        move |text: &str, found: char, instead: &str| {
            replace(text, &found.to_string(), instead, bounds)
        },
    );
    function(
        engine,
        "replace",
        &["text: text", "found: text", "instead: character", "text"],
        page,
        move |text: &str, found: &str, instead: char| {
            replace(text, found, &instead.to_string(), bounds)
        },
    );
    function(
        engine,
        "lines",
        &["text: text", "array"],
        "The lines of a text, without their ends.",
        move |text: &str| {
            let lines: Array = text.lines().map(|line| line.to_owned().into()).collect();
            bounds.array(lines)
        },
    );
}

/// Replaces after working out how long the result will be.
fn replace(text: &str, found: &str, instead: &str, bounds: Bounds) -> Result<String, Raised> {
    if found.is_empty() {
        return Ok(text.to_owned());
    }
    let count = text.matches(found).count();
    let added = count.saturating_mul(instead.len().saturating_sub(found.len()));
    bounds.length(text.len().saturating_add(added))?;
    Ok(text.replace(found, instead))
}

/// What has to be added to a text to fill it up, in whole or part copies of `fill`.
fn padding(text: &str, wanted: i64, fill: &str, bounds: Bounds) -> Result<String, Raised> {
    let missing = length(wanted).saturating_sub(text.chars().count());
    let widest = fill.chars().map(char::len_utf8).max().unwrap_or(0);
    if widest == 0 {
        return Ok(String::new());
    }
    bounds.length(text.len().saturating_add(missing))?;
    let padding: String = fill.chars().cycle().take(missing).collect();
    bounds.length(text.len().saturating_add(padding.len()))?;
    Ok(padding)
}

fn length(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}

fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn title_case(text: &str) -> String {
    let mut inside = false;
    let mut titled = String::with_capacity(text.len());
    for letter in text.chars() {
        if inside {
            titled.extend(letter.to_lowercase());
        } else {
            titled.extend(letter.to_uppercase());
        }
        inside = letter.is_alphanumeric() || letter == '\'';
    }
    titled
}

fn initials(text: &str) -> String {
    text.split(|letter: char| letter.is_whitespace() || letter == '-')
        .filter_map(|word| word.chars().find(|letter| letter.is_alphanumeric()))
        .flat_map(char::to_uppercase)
        .collect()
}
