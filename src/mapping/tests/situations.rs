//! All thirteen situations of implicit sync with their default actions.
use super::*;

/// One way to a situation.
struct Way {
    bench: Bench,
    object: Option<TargetObject>,
    hits: Vec<Hit>,
}

fn way(bench: Bench, object: Option<TargetObject>, hits: Vec<Hit>) -> Way {
    Way {
        bench,
        object,
        hits,
    }
}

fn unqualified(mut bench: Bench) -> Bench {
    bench.mapping.source_condition = Some(filter("/active eq false"));
    bench
}

fn invalid(mut bench: Bench) -> Bench {
    bench.mapping.valid_source = Some(bench.script("source.active == false"));
    bench
}

fn invalid_target(mut bench: Bench) -> Bench {
    bench.mapping.valid_target = Some(bench.script("target.email != \"old\""));
    bench
}

fn ways(situation: Situation) -> Vec<Way> {
    use Situation as S;
    let existing = || Some(target("t", json!({"email": "old"})));
    let (bench, correlated) = (Bench::new, || Bench::new().correlated());
    let (one, two) = (
        || vec![hit("t", None)],
        || vec![hit("t", None), hit("u", None)],
    );
    let taken = || vec![hit("t", Some(link("8", "t")))];
    match situation {
        S::Confirmed => vec![
            way(bench().linked("t"), existing(), vec![]),
            way(invalid_target(bench().linked("t")), existing(), vec![]),
        ],
        S::Missing => vec![way(bench().linked("t"), None, vec![])],
        S::Absent => vec![way(bench(), None, vec![]), way(correlated(), None, vec![])],
        S::Found => vec![way(correlated(), None, one())],
        S::FoundAlreadyLinked => vec![way(correlated(), None, taken())],
        S::Ambiguous => vec![
            way(correlated(), None, two()),
            way(correlated().deleted(), None, two()),
        ],
        S::Unqualified => vec![
            way(unqualified(bench().linked("t")), existing(), vec![]),
            way(unqualified(bench().linked("t")), None, vec![]),
            way(invalid(correlated()), None, one()),
            way(invalid(correlated()), None, two()),
            way(invalid(correlated().deleted()), None, two()),
        ],
        S::SourceIgnored => vec![
            way(unqualified(bench()), None, vec![]),
            way(invalid(correlated()), None, vec![]),
        ],
        S::TargetIgnored => vec![
            way(
                invalid_target(bench().linked("t").deleted()),
                existing(),
                vec![],
            ),
            way(invalid(correlated().deleted()), None, one()),
        ],
        S::Unassigned => vec![
            way(correlated().deleted(), None, one()),
            way(unqualified(correlated().deleted()), None, one()),
        ],
        S::SourceMissing => vec![
            way(bench().linked("t").deleted(), existing(), vec![]),
            way(
                invalid(unqualified(bench().linked("t").deleted())),
                existing(),
                vec![],
            ),
        ],
        S::LinkOnly => vec![way(bench().linked("t").deleted(), None, vec![])],
        S::AllGone => vec![
            way(bench().deleted(), None, vec![]),
            way(correlated().deleted(), None, vec![]),
        ],
    }
}

#[tokio::test]
async fn each_is_assessed_and_answered_by_its_default() {
    for situation in Situation::ALL {
        for (number, way) in ways(situation).into_iter().enumerate() {
            let decision = way.bench.decide(way.object, way.hits).await;
            let place = format!("{situation}, way {number}: {:?}", decision.row);
            assert_eq!(decision.row.situation, Some(situation), "{place}");
            let action = situation.implicit_default();
            assert_eq!(decision.row.action, Some(action), "{place}");
            let failed = matches!(decision.row.step, Step::Failed { .. });
            assert_eq!(failed, action == Action::Exception, "{place}");
        }
    }
}

/// What every action does in every situation: a letter for the step (Create, Update, Delete,
/// Nothing, Failed) and one for the link (Set, Removed, -).
#[tokio::test]
async fn every_action_in_every_situation_does_what_it_can() {
    use Action as A;
    use Situation as S;
    // A source object and a target object are there (T), taken by another source (O), only a link
    // (L), only the source (S), or the source is gone (t, l, n in the same order).
    let kind = |situation| match situation {
        S::Confirmed => 'T',
        S::Found => 'F',
        S::FoundAlreadyLinked => 'O',
        S::Missing => 'L',
        S::Absent | S::Ambiguous | S::SourceIgnored => 'S',
        S::Unqualified => 'T',
        S::SourceMissing | S::TargetIgnored => 't',
        S::Unassigned => 'f',
        S::LinkOnly => 'l',
        S::AllGone => 'n',
    };
    for situation in S::ALL {
        for (action, expected) in [
            (A::Create, [("LS", "CS"), ("TFOtfln", "F-"), ("", "")]),
            (A::Update, [("T", "U-"), ("F", "US"), ("OLStfln", "F-")]),
            (A::Delete, [("TOt", "DR"), ("Ff", "D-"), ("Ll", "NR")]),
            (A::Link, [("Tt", "N-"), ("Ff", "NS"), ("OLSln", "F-")]),
            (A::Unlink, [("TLtl", "NR"), ("FOSfn", "N-"), ("", "")]),
            (A::Exception, [("TFOLStfln", "F-"), ("", ""), ("", "")]),
            (A::Report, [("", ""); 3]),
            (A::Noreport, [("", ""); 3]),
            (A::Async, [("", ""); 3]),
            (A::Ignore, [("", ""); 3]),
        ] {
            let way = ways(situation).swap_remove(0);
            let bench = way.bench.with_policy(situation, action);
            let decision = bench.decide(way.object, way.hits).await;
            let step = match &decision.row.step {
                Step::Write { write } => match write {
                    TargetWrite::Create { .. } => 'C',
                    TargetWrite::Update { .. } => 'U',
                    TargetWrite::Delete { .. } => 'D',
                },
                Step::Nothing => 'N',
                Step::Failed { .. } => 'F',
            };
            let link = match &decision.row.link {
                Some(LinkChange::Set { .. }) => 'S',
                Some(LinkChange::Remove(_)) => 'R',
                None => '-',
            };
            let expected = expected
                .into_iter()
                .find(|(kinds, _)| kinds.contains(kind(situation)))
                .map_or("N-", |(_, expected)| expected);
            assert_eq!(format!("{step}{link}"), expected, "{situation}, {action}");
            assert_eq!(decision.row.action, Some(action));
        }
    }
}

#[tokio::test]
async fn what_is_read_first_depends_on_link_and_correlation() {
    let id = |id: &str| Some(id.to_owned());
    let query = Some(Candidates::Query(
        Filter::parse("mail eq 'ann@example.org'").expect("a filter"),
    ));
    let lookup = |id, candidates| Lookup { id, candidates };
    for (bench, expected) in [
        (Bench::new(), lookup(id("7"), None)),
        (Bench::new().linked("t"), lookup(id("t"), None)),
        (Bench::new().linked("t").deleted(), lookup(id("t"), None)),
        (Bench::new().deleted(), lookup(None, None)),
        (Bench::new().correlated(), lookup(id("7"), query.clone())),
        (
            Bench::new().correlated().deleted(),
            lookup(None, query.clone()),
        ),
        (unqualified(Bench::new()), lookup(None, None)),
        (
            Bench::new().with_policy(Situation::Absent, Action::Ignore),
            lookup(None, None),
        ),
    ] {
        assert_eq!(bench.lookup().await, expected);
    }
    let mut nothing_known = Bench::new().deleted();
    nothing_known.old = None;
    let decision = nothing_known.decide(None, Vec::new()).await;
    assert_eq!(decision.row.situation, Some(Situation::AllGone));
}
