//! What answers of one service mean where it does not keep to the meaning of the statuses.
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{Answer, Call, failure};
use crate::{
    connectors::{Error, settings::Problem},
    model::CauseKind,
};

/// A rule as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawRule {
    /// The statuses that it is about; every one where this is left out.
    #[serde(default)]
    status: Vec<u16>,
    /// A regular expression that the body has to match somewhere.
    body: Option<String>,
    /// What such an answer means.
    means: Meaning,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// The service said no; nothing happened there.
    Refused,
    /// The service was not able to; nothing happened there.
    Unavailable,
    /// It may or may not have happened.
    Unknown,
}

/// A rule as it is used.
#[derive(Debug, Clone)]
pub struct Rule {
    status: Vec<u16>,
    body: Option<Regex>,
    means: Meaning,
}

impl Rule {
    /// What was written, checked; every problem in it is added to `problems`.
    pub fn validate(raw: Vec<RawRule>, problems: &mut Vec<Problem>) -> Vec<Self> {
        let mut rules = Vec::with_capacity(raw.len());
        for (index, rule) in raw.into_iter().enumerate() {
            if rule.status.is_empty() && rule.body.is_none() {
                let message = "expected `status`, `body` or both: this would mean every answer";
                problems.push(Problem::new(format!("/errors/{index}"), message));
            }
            let body = rule.body.as_deref().map(Regex::new).transpose();
            match body {
                Ok(body) => rules.push(Self {
                    status: rule.status,
                    body,
                    means: rule.means,
                }),
                Err(error) => {
                    let message = format!("no regular expression: {error}");
                    problems.push(Problem::new(format!("/errors/{index}/body"), message));
                }
            }
        }
        rules
    }

    /// The error that the first rule about an answer makes of it; none: no rule is about it. Where
    /// the body was lost that such a rule looks at, nobody can tell what the answer meant.
    pub fn judge(rules: &[Self], answer: &Answer, call: Call) -> Option<Error> {
        let rule = rules.iter().find(|rule| rule.may_be_about(answer))?;
        let mut error = failure(answer, call);
        let is_certain = rule.is_about(answer);
        if !is_certain {
            let status = answer.status;
            error.message = format!(
                "the service answered {status}, but the body that a rule asks for was lost"
            );
        }
        let means = if is_certain {
            rule.means
        } else {
            Meaning::Unknown
        };
        error.kind = match (means, call) {
            (Meaning::Refused, _) => CauseKind::Refused,
            (Meaning::Unknown, Call::Write) => CauseKind::Unknown,
            // A read changes nothing.
            (Meaning::Unavailable, _) | (Meaning::Unknown, Call::Read) => CauseKind::Unavailable,
        };
        Some(error)
    }

    fn is_about(&self, answer: &Answer) -> bool {
        let body = |pattern: &Regex| pattern.is_match(&answer.body);
        self.has_status(answer) && self.body.as_ref().is_none_or(body)
    }

    /// Whether it is about an answer, or would be if what was lost of the body matched.
    fn may_be_about(&self, answer: &Answer) -> bool {
        self.is_about(answer) || answer.body_lost && self.has_status(answer)
    }

    fn has_status(&self, answer: &Answer) -> bool {
        self.status.is_empty() || self.status.contains(&answer.status)
    }
}

/// Equal rules were written equally.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let text = |rule: &Self| rule.body.as_ref().map(|body| body.as_str().to_owned());
        (&self.status, self.means, text(self)) == (&other.status, other.means, text(other))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(value: serde_json::Value) -> Result<Vec<Rule>, Vec<Problem>> {
        let mut problems = Vec::new();
        let rules = Rule::validate(serde_json::from_value(value).unwrap(), &mut problems);
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(problems)
        }
    }

    #[test]
    fn the_first_rule_about_an_answer_says_what_it_means() {
        let rules = rules(json!([
            {"status": [409], "body": "quota", "means": "unavailable"},
            {"status": [409, 500], "means": "refused"},
            {"body": "(?i)error", "means": "unknown"},
        ]))
        .unwrap();
        for (status, body, call, kind) in [
            (409, "over quota", Call::Write, Some(CauseKind::Unavailable)),
            (409, "taken", Call::Write, Some(CauseKind::Refused)),
            (500, "", Call::Read, Some(CauseKind::Refused)),
            (200, "ERROR 7", Call::Write, Some(CauseKind::Unknown)),
            (200, "ERROR 7", Call::Read, Some(CauseKind::Unavailable)),
            (200, "fine", Call::Write, None),
            (503, "", Call::Write, None),
        ] {
            let answer = Answer {
                status,
                body: body.as_bytes().to_vec(),
                ..Answer::default()
            };
            let judged = Rule::judge(&rules, &answer, call);
            assert_eq!(judged.as_ref().map(|it| it.kind), kind, "{status} {body}");
            assert!(judged.is_none_or(|error| error.code == status));
        }
    }

    #[test]
    fn a_lost_body_leaves_open_what_a_rule_about_bodies_would_have_said() {
        let rules = rules(json!([
            {"status": [404], "means": "refused"},
            {"status": [200, 404, 409], "body": "no", "means": "refused"},
        ]))
        .unwrap();
        for (status, call, kind) in [
            (200, Call::Write, Some(CauseKind::Unknown)),
            (409, Call::Write, Some(CauseKind::Unknown)),
            (409, Call::Read, Some(CauseKind::Unavailable)),
            // What comes first needs no body.
            (404, Call::Write, Some(CauseKind::Refused)),
            (201, Call::Write, None),
        ] {
            let answer = Answer {
                status,
                body_lost: true,
                ..Answer::default()
            };
            let judged = Rule::judge(&rules, &answer, call);
            assert_eq!(judged.map(|it| it.kind), kind, "{status} {call:?}");
        }
    }

    #[test]
    fn a_rule_about_everything_and_a_wrong_pattern_are_reported() {
        let problems = rules(json!([
            {"means": "refused"}, {"body": "(", "means": "refused"}]))
        .unwrap_err();
        let places: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(places, ["/errors/0", "/errors/1/body"]);
    }
}
