//! The rules of integration events (issue: staying in agreement, section 3): which state an event
//! gets when it arrives and when its turn has come, and what may be done with it by hand.
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::State;
use crate::model::path::ResourceName;

/// Whether an integration is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Its events are carried out.
    On,
    /// Its events are only recorded.
    Off,
}

/// What is known of an event's external id, but for the event itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// An event with a later time.
    pub later: Option<Uuid>,
    /// The time of our copy of the external record, and the event that brought it.
    pub cached: Option<(DateTime<Utc>, Uuid)>,
    /// When the managed object was modified, and which it is.
    pub object: Option<(DateTime<Utc>, ResourceName)>,
    /// Queued and errored events with an earlier time.
    pub earlier: Vec<Uuid>,
    /// Whether any other event is queued or processing; those that are earlier and queued do not
    /// count.
    pub is_busy: bool,
}

impl Seen {
    /// The same for an event that counts although our copy has its very time.
    #[must_use]
    pub fn without_copy_of(self, at: DateTime<Utc>) -> Self {
        let cached = self.cached.filter(|(time, _)| *time != at);
        Self { cached, ..self }
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// Its state; none where it may be carried out now.
    pub state: Option<State>,
    /// The event that brought the same.
    pub duplicate_of: Option<Uuid>,
    /// The event that is newer.
    pub newer_event: Option<Uuid>,
    /// The object that is newer.
    pub newer_object: Option<ResourceName>,
    /// Events that this one takes the place of.
    pub cancels: Vec<Uuid>,
}

/// What somebody asks for by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Try it again.
    Retry,
    /// Do not carry it out.
    Cancel,
}

/// Judges an event of this time by the rules, in their order.
#[must_use]
pub fn judge(at: DateTime<Utc>, switch: Switch, seen: &Seen) -> Judgement {
    if switch == Switch::Off {
        return ended(State::Disabled);
    }
    // 1. Something later is known of the same external id.
    if let Some(later) = seen.later {
        return Judgement {
            newer_event: Some(later),
            ..ended(State::Ignored)
        };
    }
    match seen.cached {
        // 2. It was brought before.
        Some((cached, event)) if cached == at => {
            return Judgement {
                duplicate_of: Some(event),
                ..ended(State::Duplicate)
            };
        }
        // 1. The event that brought something later may not be kept any more.
        Some((cached, event)) if cached > at => {
            return Judgement {
                newer_event: Some(event),
                ..ended(State::Ignored)
            };
        }
        _ => {}
    }
    // 3. The managed object was modified since.
    if let Some((_, object)) = seen.object.as_ref().filter(|(modified, _)| *modified > at) {
        return Judgement {
            newer_object: Some(object.clone()),
            ..ended(State::Ignored)
        };
    }
    // 4. It takes the place of what waits and is older; 5. it waits for what is not.
    Judgement {
        state: seen.is_busy.then_some(State::Queued),
        cancels: seen.earlier.clone(),
        ..Judgement::default()
    }
}

fn ended(state: State) -> Judgement {
    Judgement {
        state: Some(state),
        ..Judgement::default()
    }
}

/// The state after a request by hand; none where it makes no sense in this state.
#[must_use]
pub fn requested(state: State, request: Request) -> Option<State> {
    match (state, request) {
        (State::Errored | State::Canceled | State::Disabled, Request::Retry) => Some(State::Queued),
        (State::Queued | State::Errored, Request::Cancel) => Some(State::Canceled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::model::Container;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    #[test]
    fn each_rule_gives_its_state_and_the_first_that_holds_counts() {
        let [later, cached, old] = [1, 2, 3].map(Uuid::from_u128);
        let user = Container::managed("user").object("a");
        let nothing = Seen::default;
        let object = |second| Seen {
            object: Some((at(second), user.clone())),
            ..nothing()
        };
        let copy = |second| Seen {
            cached: Some((at(second), cached)),
            ..nothing()
        };
        let ignored = |newer_event| Judgement {
            newer_event,
            ..ended(State::Ignored)
        };
        let queued = |cancels: &[Uuid]| Judgement {
            cancels: cancels.to_vec(),
            ..ended(State::Queued)
        };
        let now = |cancels: &[Uuid]| Judgement {
            cancels: cancels.to_vec(),
            ..Judgement::default()
        };
        let cases = [
            ("nothing is known", nothing(), now(&[])),
            (
                "1: something later",
                Seen {
                    later: Some(later),
                    ..nothing()
                },
                ignored(Some(later)),
            ),
            (
                "1: before 2",
                Seen {
                    later: Some(later),
                    ..copy(10)
                },
                ignored(Some(later)),
            ),
            ("1: the copy is later", copy(11), ignored(Some(cached))),
            (
                "2: the copy is the same",
                copy(10),
                Judgement {
                    duplicate_of: Some(cached),
                    ..ended(State::Duplicate)
                },
            ),
            (
                "2: before 3",
                Seen {
                    object: object(11).object,
                    ..copy(10)
                },
                Judgement {
                    duplicate_of: Some(cached),
                    ..ended(State::Duplicate)
                },
            ),
            ("2: the copy is older", copy(9), now(&[])),
            (
                "3: the object is newer",
                object(11),
                Judgement {
                    newer_object: Some(user.clone()),
                    ..ended(State::Ignored)
                },
            ),
            ("3: the object is as old", object(10), now(&[])),
            (
                "4: older ones give way",
                Seen {
                    earlier: vec![old],
                    ..nothing()
                },
                now(&[old]),
            ),
            (
                "4 and 5",
                Seen {
                    earlier: vec![old],
                    is_busy: true,
                    ..nothing()
                },
                queued(&[old]),
            ),
            (
                "5: another is at work",
                Seen {
                    is_busy: true,
                    ..nothing()
                },
                queued(&[]),
            ),
        ];
        for (what, seen, expected) in cases {
            assert_eq!(judge(at(10), Switch::On, &seen), expected, "{what}");
            let off = judge(at(10), Switch::Off, &seen);
            assert_eq!(off, ended(State::Disabled), "8: {what}");
        }
    }

    #[test]
    fn by_hand_only_what_makes_sense_is_done() {
        let after = |request| State::ALL.map(|state| requested(state, request));
        let (queued, canceled) = (Some(State::Queued), Some(State::Canceled));
        assert_eq!(
            after(Request::Retry),
            [None, None, None, queued, queued, None, None, queued]
        );
        assert_eq!(
            after(Request::Cancel),
            [canceled, None, None, canceled, None, None, None, None]
        );
    }
}
