//! The words of the command line: verbs, their arguments, and the help that explains them.
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use secrecy::SecretString;
use url::Url;

use crate::model::{OperationId, Outcome, audit::Topic};

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the change was compensated or rejected, 4 diverged.

Begin with `recant demo`, or with `recant init DIR`.";

/// Keeps many systems in agreement about one record: all targets get a change, or none does.
#[derive(Debug, Parser)]
#[command(name = "recant", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Arguments {
    /// What holds for every verb.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Debug, Args)]
pub struct Globals {
    /// The project folder
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        default_value = ".",
        value_name = "DIR"
    )]
    pub dir: PathBuf,
    /// A running server to ask, instead of the folder's store
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        env = "RECANT_URL",
        value_name = "URL"
    )]
    pub url: Option<Url>,
    /// The token for that server
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        env = "RECANT_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<SecretString>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve the HTTP API until SIGTERM or Ctrl-C, then settle what is in flight
    Serve,
    /// See it at work: three targets, a refusal, a compensation, a divergence and its end
    Demo(Demo),
    /// Make a commented project folder that runs
    Init(Init),
    /// Say every problem of the folder, one line each
    Check,
    /// Show what a change would do, and do nothing
    Plan(Plan),
    /// Change an object, in all its targets or in none
    Change(Change),
    /// Look at changes, and end the diverged ones
    #[command(subcommand)]
    Ops(Ops),
    /// Read the change feed, as it is or as it comes
    #[command(subcommand)]
    Events(Events),
    /// Compare the two sides of a mapping, and put right what differs
    Recon(super::recon::Recon),
    /// Tell recorded events again, to a subscription or through a mapping
    Replay(Replay),
    /// Look at what comes in from other systems and goes out to queued mappings; import records
    #[command(subcommand)]
    Integrations(super::integrations::Integrations),
    /// Look at deliveries of the change feed to subscriptions
    #[command(subcommand)]
    Deliveries(super::integrations::Deliveries),
    /// Read, export and verify the audit log
    #[command(subcommand)]
    Audit(Audit),
    /// Check, try, test and back-test hooks
    #[command(subcommand)]
    Hooks(super::hooks::Hooks),
    /// Look at target systems
    #[command(subcommand)]
    Connectors(Connectors),
    /// Make, list and revoke bearer tokens
    #[command(subcommand)]
    Token(Token),
    /// Bring the tables of the folder's store up or down
    #[command(subcommand)]
    Migrate(Migrate),
    /// Write the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// `recant demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave the demo's folder, and say where it is
    #[arg(long)]
    pub keep: bool,
}

/// `recant init`
#[derive(Debug, Args)]
pub struct Init {
    /// Where; the project folder if left out
    pub folder: Option<PathBuf>,
}

/// `recant plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// The change.
    #[command(subcommand)]
    pub what: What,
}

/// `recant change`
#[derive(Debug, Args)]
pub struct Change {
    /// Only if the object still has this revision
    #[arg(long, value_name = "REV", global = true)]
    pub if_match: Option<String>,
    /// The change.
    #[command(subcommand)]
    pub what: What,
}

/// What is to become of an object.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Bring an object into being
    Create {
        /// The type, and the id if you choose it
        #[arg(value_name = "TYPE[/ID]")]
        object: String,
        /// Its content.
        #[command(flatten)]
        input: Input,
    },
    /// Give an object new content
    Update {
        /// The object
        #[arg(value_name = "TYPE/ID")]
        object: String,
        /// Its content.
        #[command(flatten)]
        input: Input,
    },
    /// Change parts: a JSON object (merge patch) or a list of operations (CREST or JSON Patch)
    Patch {
        /// The object
        #[arg(value_name = "TYPE/ID")]
        object: String,
        /// The parts.
        #[command(flatten)]
        input: Input,
    },
    /// Delete an object
    Delete {
        /// The object
        #[arg(value_name = "TYPE/ID")]
        object: String,
    },
}

/// Where the content of a change comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Input {
    /// The JSON itself
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
    /// A file that holds the JSON; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// `-`: the standard input
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true)]
    pub dash: Option<String>,
}

/// `recant ops`
#[derive(Debug, Subcommand)]
pub enum Ops {
    /// List changes, newest first
    List {
        /// Only those that ended like this
        #[arg(long)]
        outcome: Option<OutcomeWord>,
        /// Which changes.
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one change: its writes, hooks and nested changes
    Show {
        /// The change's id
        id: OperationId,
    },
    /// Try the missing undo writes of a diverged change again
    Heal {
        /// The change's id
        id: OperationId,
    },
    /// End a diverged change as it is
    Resolve {
        /// The change's id
        id: OperationId,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Which entries to list.
#[derive(Debug, Args)]
pub struct Listing {
    /// Only those that meet a query filter, such as 'object sw "managed/user"'
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
}

/// How a change ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutcomeWord {
    /// All targets hold the new data.
    Synced,
    /// Nothing was written.
    Rejected,
    /// All targets hold the old data again.
    Compensated,
    /// Some targets hold the new data.
    Partial,
    /// The compensation failed.
    Diverged,
    /// It is still running, or waits for recovery.
    Unfinished,
}

/// `recant events`
#[derive(Debug, Subcommand)]
pub enum Events {
    /// List events, oldest first
    List {
        /// Which events.
        #[command(flatten)]
        which: EventArguments,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Print each event as it comes, one line each; from now on if no cursor or time is given
    Follow {
        /// Which events.
        #[command(flatten)]
        which: EventArguments,
    },
}

/// `recant replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// Events behind this cursor
    #[arg(long, value_name = "CURSOR", required_unless_present = "range_start")]
    pub from: Option<i64>,
    /// Events from this time on, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub range_start: Option<DateTime<Utc>>,
    /// Events before this time
    #[arg(long, value_name = "TIME")]
    pub range_end: Option<DateTime<Utc>>,
    /// Events of these types, such as user.created
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub types: Vec<String>,
    /// A subscription that is told again; each event says that it is replayed
    #[arg(long, value_name = "SUBSCRIPTION", required_unless_present = "mapping")]
    pub to: Option<String>,
    /// A mapping whose target gets the objects of these events as they are now
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    pub mapping: Option<String>,
    /// Repeat what has side effects, too
    #[arg(long)]
    pub side_effects: bool,
}

/// Which events of the change feed.
#[derive(Debug, Args)]
pub struct EventArguments {
    /// Only those behind this cursor, the id of an event
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<i64>,
    /// Only those from this time on, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub range_start: Option<DateTime<Utc>>,
    /// Only those before this time
    #[arg(long, value_name = "TIME")]
    pub range_end: Option<DateTime<Utc>>,
    /// Only those of these types, such as user.created
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub types: Vec<String>,
}

/// `recant audit`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List the latest entries, oldest first
    List {
        /// Which entries.
        #[command(flatten)]
        entries: Entries,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Write all entries, oldest first
    Export {
        /// Which entries.
        #[command(flatten)]
        entries: Entries,
        /// In which form
        #[arg(long, value_enum, default_value_t = ExportForm::Jsonl)]
        format: ExportForm,
        /// Where to; the standard output if left out
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Tell the story of one change in plain sentences, from the audit entries alone
    Explain {
        /// The change's id
        id: OperationId,
    },
    /// Verify the chain of digests: exit code 1 and the place of the first edited, missing or
    /// reordered entry
    Verify {
        /// Only signatures of this key count, in place of the configured ones: a file with the public
        /// key, in PEM form. Again for each key that was used, the oldest first
        #[arg(long, value_name = "FILE")]
        public_key: Vec<PathBuf>,
        /// How a key handed over to the next one: what `audit keygen --after` wrote; again for each
        #[arg(long, value_name = "FILE", requires = "public_key")]
        handover: Vec<PathBuf>,
        /// Checkpoints that were kept elsewhere, beside the configured `checkpoint_file`
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
    },
    /// Make a key that signs the chain: FILE gets the private one, FILE.pub the public one
    Keygen {
        /// The file, which must not be there yet
        file: PathBuf,
        /// The private key that signed so far: it hands over to the new one, in FILE.handover
        #[arg(long, value_name = "OLD")]
        after: Option<PathBuf>,
    },
    /// Show where else the trail is delivered to, how far each is behind, and what it did not take
    Destinations,
    /// Send again what a destination did not take
    Resend {
        /// The destination
        destination: String,
        /// Only the entry at this position
        #[arg(long, value_name = "N")]
        position: Option<i64>,
        /// Give it up instead: it is not shown any more. The entries themselves stay
        #[arg(long)]
        give_up: bool,
    },
}

/// Which audit entries.
#[derive(Debug, Args)]
pub struct Entries {
    /// The topic; all if left out
    #[arg(value_parser = topic)]
    pub topic: Option<Topic>,
    /// Only those of this change
    #[arg(long, value_name = "ID")]
    pub operation: Option<String>,
    /// Only those of this transaction
    #[arg(long, value_name = "ID")]
    pub transaction: Option<String>,
    /// Only those that meet a query filter
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
}

/// How exported entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    /// JSON Lines
    Jsonl,
    /// Comma-separated values
    Csv,
}

/// `recant connectors`
#[derive(Debug, Subcommand)]
pub enum Connectors {
    /// Check that targets can be reached and that their object classes are there
    Test {
        /// Which; all if left out
        names: Vec<String>,
    },
}

/// `recant token`
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and print it, once
    Create {
        /// Whom it is for
        name: String,
        /// What it may do
        #[arg(long = "role", value_name = "ROLE", value_parser = ["caller", "hook-admin", "auditor", "admin"], default_value = "caller")]
        roles: Vec<String>,
        /// When it ends: in 30d, 12h or 45m, or on a date or at a time; never if left out
        #[arg(long, value_name = "WHEN")]
        expires: Option<super::token::Expiry>,
    },
    /// List tokens, without their secrets
    List,
    /// Revoke a token
    Revoke {
        /// Its id, as `token list` shows it
        id: String,
    },
    /// End the sessions of whoever signed in at the pages under a name
    SignOut {
        /// The name
        caller: String,
    },
}

/// `recant migrate`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Migrate {
    /// Bring the tables up to date
    Up,
    /// Take the latest migrations back
    Down {
        /// How many
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// List migrations
    Status,
}

impl OutcomeWord {
    /// The query filter that finds such changes.
    #[must_use]
    pub fn filter(self) -> String {
        let outcome = match self {
            Self::Synced => Outcome::Synced,
            Self::Rejected => Outcome::Rejected,
            Self::Compensated => Outcome::Compensated,
            Self::Partial => Outcome::Partial,
            Self::Diverged => Outcome::Diverged,
            Self::Unfinished => return "!(outcome pr)".to_owned(),
        };
        format!("outcome eq \"{outcome}\"")
    }
}

fn topic(word: &str) -> Result<Topic, String> {
    Topic::parse(word).ok_or_else(|| {
        let words: Vec<&str> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
        format!("expected one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_arguments_stand_before_and_after_the_verb() {
        for line in [
            "recant --dir a --json ops list",
            "recant ops list --json --dir a",
        ] {
            let globals = parse(line).unwrap().globals;
            assert!(globals.json && globals.dir == *"a", "{line}");
        }
    }

    #[test]
    fn content_comes_from_exactly_one_place() {
        for good in [
            "recant change create user --data {}",
            "recant change create user --file a.json",
            "recant change create user -",
            "recant change update user/1 --data {} --if-match 3",
            "recant change --if-match 3 delete user/1",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "recant change create user",
            "recant change create user --data {} --file a",
            "recant plan delete user/1 --if-match 3",
            "recant ops list --outcome lost",
            "recant audit list gossip",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
