//! What a comparison without a lane tells of a source object: that its pairs are as they were, or
//! that somebody must look. Pure.
use crate::{
    store::{LinkMark, Mark},
    sync::combined,
};

/// What is known of a source object before anybody has looked.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The digest of the mapping and its scripts.
    pub version: &'a str,
    /// The link qualifiers that the mapping has for every object; none: a script says which.
    pub qualifiers: Option<&'a [String]>,
    /// The source object.
    pub source: &'a Mark,
    /// Its links.
    pub links: &'a [&'a LinkMark],
}

/// What is to be done about a source object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Under every qualifier source and target hold what they held when they agreed.
    Unchanged,
    /// The engine has to look at it.
    Look,
}

/// What tells that a pair is as it was when it agreed: everything that could make a difference. A
/// changed mapping or script changes it too.
#[must_use]
pub fn pair_digest(version: &str, target_id: &str, source: &str, target: &str) -> String {
    combined(&[version, target_id, source, target])
}

/// Judges a source object by its links' digests; `print_of` gives what a target object holds now,
/// none where it is not there.
pub fn classify<'p>(known: Known<'_>, print_of: impl Fn(&str) -> Option<&'p str>) -> Verdict {
    let Some(qualifiers) = known.qualifiers else {
        return Verdict::Look;
    };
    let is_as_it_was = |qualifier: &String| {
        let links = known.links.iter();
        let link = links.clone().find(|link| link.qualifier == *qualifier)?;
        let now = pair_digest(
            known.version,
            &link.target_id,
            &known.source.print,
            print_of(&link.target_id)?,
        );
        (link.digest.as_deref() == Some(now.as_str())).then_some(())
    };
    let all = qualifiers.iter().all(|one| is_as_it_was(one).is_some());
    // A link under a qualifier that the mapping no longer has is somebody's mistake.
    if all && known.links.len() == qualifiers.len() {
        Verdict::Unchanged
    } else {
        Verdict::Look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(print: &str) -> Mark {
        Mark {
            id: "1".into(),
            print: print.into(),
            updated_at: None,
        }
    }

    fn link(qualifier: &str, digest: Option<String>) -> LinkMark {
        LinkMark {
            qualifier: qualifier.into(),
            source_id: "1".into(),
            target_id: "t1".into(),
            digest,
        }
    }

    fn judged(version: &str, source: &Mark, links: &[LinkMark], target: Option<&str>) -> Verdict {
        let links: Vec<&LinkMark> = links.iter().collect();
        let known = Known {
            version,
            qualifiers: Some(&["default".to_owned()]),
            source,
            links: &links,
        };
        classify(known, |_| target)
    }

    #[test]
    fn only_what_is_as_it_was_on_every_side_is_unchanged() {
        let digest = pair_digest("v1", "t1", "s", "t");
        let linked = [link("default", Some(digest.clone()))];
        let all = |version, source: &str, links: &[LinkMark], target| {
            judged(version, &mark(source), links, target)
        };
        assert_eq!(all("v1", "s", &linked, Some("t")), Verdict::Unchanged);
        assert_eq!(
            all("v2", "s", &linked, Some("t")),
            Verdict::Look,
            "the mapping changed"
        );
        assert_eq!(
            all("v1", "x", &linked, Some("t")),
            Verdict::Look,
            "the source changed"
        );
        assert_eq!(
            all("v1", "s", &linked, Some("x")),
            Verdict::Look,
            "the target changed"
        );
        assert_eq!(
            all("v1", "s", &linked, None),
            Verdict::Look,
            "the target is gone"
        );
        assert_eq!(all("v1", "s", &[], Some("t")), Verdict::Look, "no link");
        let unknown = [link("default", None)];
        assert_eq!(
            all("v1", "s", &unknown, Some("t")),
            Verdict::Look,
            "never agreed"
        );
        let two = [linked[0].clone(), link("old", Some(digest))];
        assert_eq!(
            all("v1", "s", &two, Some("t")),
            Verdict::Look,
            "a foreign qualifier"
        );
    }

    #[test]
    fn qualifiers_that_a_script_gives_are_always_looked_at() {
        let source = mark("s");
        let known = Known {
            version: "v",
            qualifiers: None,
            source: &source,
            links: &[],
        };
        assert_eq!(classify(known, |_| None), Verdict::Look);
    }
}
