//! The order in which a change is told of: request, hooks, writes, verdict, undo, end, what came later.
use super::{
    Fact, Kind, Sentence, Story,
    words::{self, contents, count, difference, inside, listed, time, took, value},
};
use crate::model::audit::Topic;

/// How deep nested changes are told of; the engine stops at 8.
const DEEPEST: usize = 9;
/// The hook that is asked after the targets were tried.
const ON_SYNC: &str = "onSync";

/// Tells of the root of the lineage that `operation` belongs to.
pub(super) fn tell(operation: &str, facts: &[Fact<'_>]) -> Option<Story> {
    let of_it: Vec<Fact<'_>> = facts
        .iter()
        .copied()
        .filter(|fact| fact.belongs_to(operation))
        .collect();
    let first = of_it.first()?;
    let root = of_it.iter().find_map(|fact| fact.text("root"));
    let root = root.unwrap_or(operation);
    let family: Vec<Fact<'_>> = facts
        .iter()
        .copied()
        .filter(|fact| fact.text("root") == Some(root) || fact.belongs_to(operation))
        .collect();
    let mut teller = Teller {
        family: &family,
        sentences: Vec::new(),
    };
    if root != operation {
        teller.note(
            0,
            format!("{operation} is a part of the change {root}, of which this is the story."),
        );
    }
    teller.change(root, 0);
    let object = object_of(&family).or_else(|| first.text("objectId"));
    Some(Story {
        operation: root.to_owned(),
        object: object.unwrap_or_default().to_owned(),
        outcome: outcome_of(root, &family).map(str::to_owned),
        sentences: teller.sentences,
    })
}

fn object_of<'a>(family: &[Fact<'a>]) -> Option<&'a str> {
    family
        .iter()
        .find(|fact| fact.event() == "change" && fact.text("parent").is_none())
        .and_then(|fact| fact.text("objectId"))
        .or_else(|| family.iter().find_map(|fact| fact.text("sourceObjectId")))
}

/// The outcome that the latest entry about the change names.
fn outcome_of<'a>(root: &str, family: &[Fact<'a>]) -> Option<&'a str> {
    family
        .iter()
        .rev()
        .filter(|fact| fact.belongs_to(root))
        .filter(|fact| matches!(fact.event(), "change" | "divergenceEnd"))
        .find_map(|fact| fact.text("outcome"))
}

struct Teller<'a, 'f> {
    family: &'f [Fact<'a>],
    sentences: Vec<Sentence>,
}

impl<'a> Teller<'a, '_> {
    /// A change from its request to its end, and what it brought about.
    fn change(&mut self, id: &str, depth: usize) {
        let mine: Vec<Fact<'a>> = self.of(|fact| fact.belongs_to(id));
        let change = mine.iter().copied().find(|fact| fact.event() == "change");
        self.beginning(&mine, change, depth);
        let hooks = |sync: bool| {
            let mine = mine.iter().copied();
            mine.filter(move |fact| {
                fact.event() == "hook" && (fact.text("action") == Some(ON_SYNC)) == sync
            })
        };
        for hook in hooks(false) {
            self.hook(hook, depth);
        }
        self.writes(&mine, change, depth);
        let again = |fact: &Fact<'a>| fact.member("compensating").is_some_and(|it| *it == true);
        for hook in hooks(true).filter(|fact| !again(fact)) {
            self.hook(hook, depth);
        }
        let mut tries = self.tries(id).into_iter();
        let first = tries.next().unwrap_or_default();
        self.undo(&first, depth + 1);
        let open = first.iter().filter(|fact| fact.event() == "divergence");
        let open = open.count();
        for hook in hooks(true).filter(again) {
            self.hook(hook, depth);
        }
        if let Some(change) = change {
            self.end(change, open, depth);
        }
        self.follow_ups(id, depth);
        for later in tries {
            self.later_try(&later, depth);
        }
        for end in mine.iter().filter(|fact| fact.event() == "divergenceEnd") {
            self.divergence_end(*end, depth);
        }
    }

    fn of(&self, wanted: impl Fn(Fact<'a>) -> bool) -> Vec<Fact<'a>> {
        let family = self.family.iter().copied();
        family.filter(|fact| wanted(*fact)).collect()
    }

    fn say(&mut self, fact: Fact<'a>, depth: usize, kind: Kind, text: String) {
        self.sentences.push(fact.sentence(depth, kind, text));
    }

    fn note(&mut self, depth: usize, text: String) {
        self.sentences.push(Sentence {
            depth,
            kind: Kind::Note,
            at: None,
            entry: None,
            text: words::of_one_line(text),
        });
    }

    /// Who asked for what; or what else the entries are about.
    fn beginning(&mut self, mine: &[Fact<'a>], change: Option<Fact<'a>>, depth: usize) {
        let others: Vec<Fact<'a>> = mine
            .iter()
            .copied()
            .filter(|fact| matches!(fact.topic(), Topic::Recon | Topic::Access))
            .collect();
        for fact in others {
            let text = match fact.topic() {
                Topic::Recon => reconciled(fact),
                _ => accessed(fact),
            };
            self.say(fact, depth, Kind::Request, text);
        }
        match change {
            Some(change) => self.request(change, depth),
            None if mine.iter().any(|fact| fact.topic() != Topic::Access) => self.note(
                depth,
                "The entry about the change itself is not in the audit trail: it is still running, \
                 or older than what the trail keeps. This is what is left."
                    .to_owned(),
            ),
            None => {}
        }
    }

    fn request(&mut self, change: Fact<'a>, depth: usize) {
        let who = change.text("userId").unwrap_or("somebody");
        let object = change.text("objectId").unwrap_or("an object");
        let (before, after) = (change.object("before"), change.object("after"));
        let what = match change.text("action").unwrap_or_default() {
            "create" => format!("create {object}{}", contents(after)),
            "delete" => format!("delete {object}, an object{}", contents(before)),
            "update" => match difference(before, after, &hidden(change)).as_str() {
                "" => format!("update {object}, which would change nothing of it"),
                difference => format!("change {object}: {difference}"),
            },
            other => format!("{other} {object}"),
        };
        let when = time(change.0.entry.timestamp);
        let text = match (depth, change.text("parent")) {
            (0, _) | (_, None) => format!("{who} asked to {what}. The change was over on {when}."),
            (_, Some(_)) => format!("A hook asked to {what}."),
        };
        self.say(change, depth, Kind::Request, text);
        if let Some(attempt) = change.number("attempt").filter(|attempt| *attempt > 1) {
            let text = format!(
                "It was interrupted by a crash or a lost node; attempt {attempt} finished it."
            );
            self.say(change, depth, Kind::Note, text);
        }
    }

    fn hook(&mut self, hook: Fact<'a>, depth: usize) {
        let point = hook.text("action").unwrap_or("a hook");
        let script = hook.member("script");
        let part = |name: &str| {
            script
                .and_then(|script| script.get(name))
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
        };
        let version: String = part("digest").chars().take(8).collect();
        let message = hook.text("message").map(inside);
        let (kind, verdict) = match (hook.text("verdict").unwrap_or_default(), message) {
            ("accept", _) if point == ON_SYNC => (Kind::Hook, "let the change stand".to_owned()),
            ("accept", _) => (Kind::Hook, "accepted it".to_owned()),
            ("revert", None) => (
                Kind::Hook,
                "asked for the change to be taken back".to_owned(),
            ),
            ("revert", Some(message)) => (
                Kind::Hook,
                format!("asked for the change to be taken back, and threw: {message}"),
            ),
            ("reject", message) => (
                Kind::Failure,
                format!("refused: {}", message.unwrap_or("no reason given")),
            ),
            (_, message) => (
                Kind::Failure,
                format!("failed: {}", message.unwrap_or("no reason given")),
            ),
        };
        let is_again = hook.member("compensating").is_some_and(|it| *it == true);
        let again = if is_again {
            ", asked again because taking the change back had failed,"
        } else {
            ""
        };
        let verdict = match (is_again, kind) {
            (true, Kind::Hook) => "returned; whatever it says, Recant stops there,".to_owned(),
            _ => verdict,
        };
        let cost = took(hook.number("durationMs"));
        let name = part("name");
        let text = format!("The hook {point} ({name}, version {version}){again} {verdict}{cost}.");
        self.say(hook, depth, kind, text);
        let lines: Vec<String> = hook.list("log").iter().map(value).collect();
        if !lines.is_empty() {
            self.say(
                hook,
                depth,
                Kind::Hook,
                format!("It logged {}.", listed(&lines)),
            );
        }
    }

    fn writes(&mut self, mine: &[Fact<'a>], change: Option<Fact<'a>>, depth: usize) {
        let writes = mine.iter().copied().filter(|fact| fact.event() == "sync");
        let mut any = false;
        for write in writes {
            any = true;
            let (kind, text) = written(write);
            self.say(write, depth, kind, text);
        }
        let Some(change) = change else { return };
        let skipped: Vec<String> = change.list("skipped").iter().map(skipped).collect();
        if !skipped.is_empty() {
            let text = format!(
                "After that failure Recant did not try {}.",
                listed(&skipped)
            );
            self.say(change, depth, Kind::Note, text);
        } else if !any && change.text("outcome") == Some("synced") {
            let text = "No target had to be written for it.".to_owned();
            self.say(change, depth, Kind::Note, text);
        }
    }

    /// What was done to take a change back, one part for each try: a target that comes up again
    /// begins another.
    fn tries(&self, parent: &str) -> Vec<Vec<Fact<'a>>> {
        let mut tries: Vec<Vec<Fact<'a>>> = Vec::new();
        let of_it = self.of(|fact| {
            fact.topic() == Topic::Compensation
                && fact.text("parent") == Some(parent)
                && fact.event() != "divergenceEnd"
        });
        let same = |one: &Fact<'_>, other: &Fact<'_>| {
            one.event() == other.event()
                && ["mapping", "linkQualifier", "targetObjectId"]
                    .iter()
                    .all(|name| one.text(name) == other.text(name))
        };
        for fact in of_it {
            match tries.last_mut() {
                Some(current) if !current.iter().any(|known| same(known, &fact)) => {
                    current.push(fact);
                }
                _ => tries.push(vec![fact]),
            }
        }
        tries
    }

    fn undo(&mut self, facts: &[Fact<'a>], depth: usize) {
        for fact in facts {
            match fact.event() {
                "compensation" => {
                    let nested = fact.operation().unwrap_or_default();
                    let touched = facts.iter().any(|fact| {
                        fact.event() == "undo" && fact.text("status") != Some("SKIPPED")
                    });
                    let how = if touched {
                        ", beginning with the last write"
                    } else {
                        "; no target had been touched, so only the repository went back"
                    };
                    let text =
                        format!("Recant took the change back, in the nested change {nested}{how}.");
                    self.say(*fact, depth, Kind::Undo, text);
                }
                "undo" => {
                    if let Some((kind, text)) = undone(*fact) {
                        self.say(*fact, depth, kind, text);
                    }
                }
                "divergence" => self.say(*fact, depth, Kind::Divergence, diverged(*fact)),
                _ => {}
            }
        }
    }

    fn later_try(&mut self, facts: &[Fact<'a>], depth: usize) {
        if let Some(first) = facts.first() {
            let when = time(first.0.entry.timestamp);
            let text = format!("On {when} what was missing was tried again.");
            self.say(*first, depth, Kind::Undo, text);
        }
        self.undo(facts, depth + 1);
    }

    /// How it ended, with so many targets that differed then.
    fn end(&mut self, change: Fact<'a>, open: usize, depth: usize) {
        let answered = match (change.number("code"), change.text("message").map(inside)) {
            (Some(code), Some(message)) => format!(" The caller was answered {code}: {message}."),
            (Some(code), None) => format!(" The caller was answered {code}."),
            _ => String::new(),
        };
        let cost = took(change.number("durationMs"));
        let (kind, how) = match change.text("outcome").unwrap_or_default() {
            "synced" => (
                Kind::End,
                "synced: the repository and all targets held the new data",
            ),
            "rejected" => (Kind::Failure, "rejected: nothing was written anywhere"),
            "compensated" => (
                Kind::End,
                "compensated: the repository and all targets held exactly the old data",
            ),
            "partial" => (
                Kind::Failure,
                "partial: the repository held the new data and not every target did, for nobody \
                 asked for it to be taken back",
            ),
            "diverged" => {
                let which = match open {
                    0 => "a target".to_owned(),
                    open => count(open, "target"),
                };
                let text = format!(
                    "It ended diverged{cost}: taking it back failed too. The repository held the old \
                     data, and {which} waited for `heal`, a reconciliation or `resolve`.{answered}"
                );
                return self.say(change, depth, Kind::Failure, text);
            }
            "" => return,
            other => (Kind::End, other),
        };
        // The word first, then the time, then what it means.
        let (word, meaning) = how.split_once(':').unwrap_or((how, ""));
        let text = format!("It ended {word}{cost}:{meaning}.{answered}");
        self.say(change, depth, kind, text);
    }

    /// Changes of other objects that hooks asked for.
    fn follow_ups(&mut self, parent: &str, depth: usize) {
        if depth >= DEEPEST {
            return;
        }
        let mut ids: Vec<String> = Vec::new();
        for fact in
            self.of(|fact| fact.topic() == Topic::Activity && fact.text("parent") == Some(parent))
        {
            ids.extend(fact.operation().filter(|id| !ids.contains(id)));
        }
        for id in ids {
            self.change(&id, depth + 1);
        }
    }

    fn divergence_end(&mut self, end: Fact<'a>, depth: usize) {
        let who = end.text("userId").unwrap_or("somebody");
        let when = time(end.0.entry.timestamp);
        let message = end.text("message").map(inside);
        let text = match (end.text("action").unwrap_or_default(), message) {
            ("healed", _) => format!(
                "On {when} {who} healed it: every target holds the old data again, and the outcome \
                 became compensated."
            ),
            ("resolved", reason) => format!(
                "On {when} {who} resolved it as it was, for this reason: {}.",
                reason.unwrap_or("none was given")
            ),
            ("superseded", by) => format!(
                "On {when} it was {}, a later change of the same object by {who} that ended synced.",
                by.unwrap_or("superseded")
            ),
            (other, _) => format!("On {when} the divergence ended: {other}."),
        };
        self.say(end, depth, Kind::End, text);
    }
}

/// The attributes that changed although both values are masked.
fn hidden(change: Fact<'_>) -> Vec<String> {
    let names = change.list("changedFields").iter();
    names
        .filter_map(|name| name.as_str())
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect()
}

fn skipped(row: &serde_json::Value) -> String {
    let part = |name: &str| row.get(name).and_then(|value| value.as_str());
    format!(
        "{} ({})",
        part("target").unwrap_or("a target"),
        part("mapping").unwrap_or("a mapping")
    )
}

/// One write to a target.
fn written(write: Fact<'_>) -> (Kind, String) {
    let mapping = write.text("mapping").unwrap_or("a mapping");
    let target = write.text("targetObjectId").unwrap_or("a target");
    let (before, after) = (write.object("before"), write.object("after"));
    let cost = took(write.number("durationMs"));
    let tries = match write.number("attempt") {
        Some(tries @ 2..) => format!(", at attempt {tries}"),
        _ => String::new(),
    };
    if write.has_succeeded() {
        let done = match write.text("write").unwrap_or_default() {
            "create" => format!("created {target}{}", contents(after)),
            "delete" => format!("deleted {target}"),
            "update" => match difference(before, after, &[]).as_str() {
                "" => format!("changed hidden attributes of {target}"),
                difference => format!("changed {target}: {difference}"),
            },
            _ => format!("had nothing to write to {target}"),
        };
        return (Kind::Write, format!("{mapping} {done}{cost}{tries}."));
    }
    let why = reason(write);
    let text = match (write.text("write"), write.text("exception")) {
        (None, _) => format!("{mapping} could not plan what to write to {target}: {why}."),
        (Some(what), Some("refused")) => {
            format!("{mapping}: {target} refused the {what}{tries}: {why}.")
        }
        (Some(what), Some("unavailable")) => {
            format!("{mapping}: {target} could not be reached for the {what}{tries}: {why}.")
        }
        (Some(what), _) => format!(
            "{mapping}: whether {target} took the {what} is not known{tries}: {why}. It counted as \
             touched."
        ),
    };
    (Kind::Failure, text)
}

/// One undo; none where there was nothing to undo.
fn undone(undo: Fact<'_>) -> Option<(Kind, String)> {
    let mapping = undo.text("mapping").unwrap_or("a mapping");
    let target = undo.text("targetObjectId").unwrap_or("a target");
    let cost = took(undo.number("durationMs"));
    let (before, after) = (undo.object("before"), undo.object("after"));
    match (undo.text("status").unwrap_or_default(), undo.text("write")) {
        ("SUCCESS", None) => Some((
            Kind::Undo,
            format!("{mapping} had nothing to take back in {target}."),
        )),
        ("SUCCESS", Some(write)) => {
            let done = match write {
                "create" => format!("created {target} again{}", contents(after)),
                "delete" => format!("deleted {target} again"),
                _ => match difference(before, after, &[]).as_str() {
                    "" => format!("gave {target} its hidden attributes back"),
                    difference => format!("gave {target} back what it held: {difference}"),
                },
            };
            Some((Kind::Undo, format!("{mapping} {done}{cost}.")))
        }
        ("SKIPPED", _) => None,
        ("UNKNOWN", _) => Some((
            Kind::Failure,
            format!(
                "{mapping}: whether {target} was put back is not known: {}.",
                reason(undo)
            ),
        )),
        (_, _) => Some((
            Kind::Failure,
            format!("{mapping} could not put {target} back: {}.", reason(undo)),
        )),
    }
}

fn diverged(divergence: Fact<'_>) -> String {
    let target = divergence.text("targetObjectId").unwrap_or("a target");
    let (expected, actual) = (divergence.object("before"), divergence.object("after"));
    let should = match expected {
        None => "should not exist".to_owned(),
        Some(_) => match difference(actual, expected, &[]).as_str() {
            _ if actual.is_none() => format!("should be there{}", contents(expected)),
            "" => "does not hold what it should".to_owned(),
            difference => format!("should have been set back: {difference}"),
        },
    };
    format!("So {target} differs: it {should}.")
}

/// What the target said, with its own code.
fn reason(fact: Fact<'_>) -> String {
    let message = inside(fact.text("message").unwrap_or("no reason was given"));
    match fact.member("code") {
        Some(serde_json::Value::String(code)) if message.contains(code.as_str()) => {
            message.to_owned()
        }
        Some(serde_json::Value::String(code)) => format!("{message} ({code})"),
        Some(code) if !message.contains(&code.to_string()) => format!("{message} ({code})"),
        _ => message.to_owned(),
    }
}

fn reconciled(fact: Fact<'_>) -> String {
    format!(
        "The reconciliation {} of the mapping {} asked for it: the situation was {}, the action {}.",
        fact.text("reconId").unwrap_or_default(),
        fact.text("mapping").unwrap_or_default(),
        fact.text("situation").unwrap_or("unknown"),
        fact.text("action").unwrap_or("unknown"),
    )
}

fn accessed(fact: Fact<'_>) -> String {
    let who = fact.text("userId").unwrap_or("somebody");
    let request = fact.text("request").unwrap_or("a request");
    let message = inside(fact.text("message").unwrap_or_default());
    let verb = if fact.has_succeeded() {
        "was let through"
    } else {
        "was denied"
    };
    format!("{request} by {who} {verb}: {message}.")
}
