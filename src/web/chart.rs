//! Charts as inline SVG: outcomes over time as stacked bars, latency as two lines.
use std::fmt::Write as _;

use super::markup::{self, Markup, escaped, tone};
use crate::{
    app::{Span, Trend},
    model::Outcome,
};

/// The drawing's size in its own units.
const WIDTH: usize = 720;
const HEIGHT: usize = 160;
/// Where the bars stand: beneath the numbers, above the times.
const TOP: usize = 12;
const BOTTOM: usize = 20;
const LEFT: usize = 58;

/// Outcomes over time. Every bar tells its figures where somebody points at it; the same figures
/// stand in a table beside it.
pub(super) fn outcomes(trend: &Trend) -> Markup {
    let highest = trend
        .spans
        .iter()
        .map(Span::total)
        .max()
        .unwrap_or_default();
    let mut svg = begin(
        "outcomes-chart",
        "Changes over time by outcome",
        highest,
        &markup::count,
    );
    for (at, span) in trend.spans.iter().enumerate() {
        let (x, width) = place(at, trend.spans.len());
        let _ = write!(svg, "<g><title>{}</title>", escaped(&told(span)));
        let mut below = 0;
        for outcome in Outcome::ALL {
            let count = span.ended(outcome);
            below += bar(&mut svg, (x, width), below, (count, highest), tone(outcome));
        }
        bar(&mut svg, (x, width), below, (span.running, highest), "run");
        svg.push_str("</g>");
    }
    end(svg, trend)
}

/// How long changes took: half of them at most so long, and 95 of 100.
pub(super) fn latency(trend: &Trend) -> Markup {
    let slow = trend.spans.iter().filter_map(|span| span.slow_ms);
    let highest = slow.max().unwrap_or_default().unsigned_abs();
    let name = "How long changes took: median and 95th percentile";
    let label = |number: u64| markup::milliseconds(i64::try_from(number).unwrap_or(i64::MAX));
    let mut svg = begin("latency-chart", name, highest, &label);
    for (class, of) in [
        (
            "slow",
            (|span: &Span| span.slow_ms) as fn(&Span) -> Option<i64>,
        ),
        ("median", |span| span.median_ms),
    ] {
        for (at, span) in trend.spans.iter().enumerate() {
            let Some(value) = of(span) else { continue };
            let (x, width) = place(at, trend.spans.len());
            let y = HEIGHT - BOTTOM - height(value.unsigned_abs(), highest);
            let _ = write!(
                svg,
                "<g><title>{} {}: {}</title><rect class=\"c-{class}\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"3\"/></g>",
                span.at.format("%m-%d %H:%M"),
                if class == "slow" { "95 %" } else { "median" },
                markup::milliseconds(value),
                y.saturating_sub(1),
            );
        }
    }
    end(svg, trend)
}

fn begin(id: &str, name: &str, highest: u64, label: &dyn Fn(u64) -> String) -> String {
    let mut svg = format!(
        "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-labelledby=\"{id}\"><title id=\"{id}\">{}</title>",
        escaped(name)
    );
    let middle = highest / 2;
    let marks = if middle > 0 {
        vec![highest, middle]
    } else {
        vec![highest]
    };
    for mark in marks {
        let y = HEIGHT - BOTTOM - height(mark, highest);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/><text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 6,
            y + 4,
            escaped(&label(mark)),
        );
    }
    let base = HEIGHT - BOTTOM;
    let _ = write!(
        svg,
        "<line class=\"base\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{base}\" y2=\"{base}\"/>"
    );
    svg
}

fn end(mut svg: String, trend: &Trend) -> Markup {
    let count = trend.spans.len();
    let long = trend.width.num_hours() >= 3;
    for at in [0, count / 4, count / 2, count * 3 / 4] {
        let Some(span) = trend.spans.get(at) else {
            continue;
        };
        let shown = if long {
            span.at.format("%m-%d")
        } else {
            span.at.format("%H:%M")
        };
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{}\" y=\"{}\">{shown}</text>",
            place(at, count).0,
            HEIGHT - 5
        );
    }
    svg.push_str("</svg>");
    Markup::trusted(svg)
}

/// Draws one part of a bar on top of what is below it, and gives its height.
fn bar(
    svg: &mut String,
    (x, width): (usize, usize),
    below: usize,
    (count, highest): (u64, u64),
    class: &str,
) -> usize {
    if count == 0 {
        return 0;
    }
    // What is there must be seen, be it ever so little.
    let height = height(count, highest).max(2);
    let y = (HEIGHT - BOTTOM).saturating_sub(below + height);
    let _ = write!(
        svg,
        "<rect class=\"c-{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
    );
    height
}

fn height(value: u64, highest: u64) -> usize {
    let room = (HEIGHT - TOP - BOTTOM) as u64;
    let height = value
        .saturating_mul(room)
        .checked_div(highest)
        .unwrap_or_default();
    usize::try_from(height).unwrap_or_default()
}

/// Where a bar stands and how wide it is.
fn place(at: usize, count: usize) -> (usize, usize) {
    let room = WIDTH - LEFT - 4;
    let x = |at: usize| LEFT + 2 + room * at / count.max(1);
    let width = x(at + 1).saturating_sub(x(at) + 1).max(1);
    (x(at), width)
}

/// One span in words.
fn told(span: &Span) -> String {
    let mut text = format!(
        "{}: {} changes",
        span.at.format("%m-%d %H:%M"),
        span.total()
    );
    for outcome in Outcome::ALL {
        match span.ended(outcome) {
            0 => {}
            count => {
                let _ = write!(text, ", {count} {}", outcome.as_str());
            }
        }
    }
    if span.running > 0 {
        let _ = write!(text, ", {} running", span.running);
    }
    text
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn bars_stay_inside_the_drawing() {
        let span = |minute, outcomes| Span {
            at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minute),
            outcomes,
            running: 1,
            median_ms: Some(2),
            slow_ms: Some(500),
        };
        let spans = vec![span(0, [1, 0, 0, 0, 0]), span(1, [90_000, 1, 1, 1, 1])];
        let trend = Trend {
            whole: span(0, [0; 5]),
            spans,
            width: TimeDelta::minutes(1),
            rejections_since: None,
        };
        for svg in [outcomes(&trend).to_string(), latency(&trend).to_string()] {
            for y in svg.split(" y=\"").skip(1) {
                let y: usize = y.split('"').next().unwrap().parse().unwrap();
                assert!(y <= HEIGHT, "{svg}");
            }
            assert!(svg.ends_with("</svg>"));
        }
    }
}
