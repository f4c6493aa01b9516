//! Values that no two objects of a type may have: which property, what counts as the same, and the
//! digest under which a value is held.
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Object,
    audit::hexadecimal,
    filter::{Texts, folded, moment, says_something},
    pointer::Pointer,
};

/// A property whose values are unique among the objects of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// What it is called in messages.
    pub name: String,
    /// The property.
    pub place: Pointer,
    /// What its texts stand for.
    pub texts: Texts,
}

/// A value that an object takes for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What the property is called in messages.
    pub name: String,
    /// The digest of rule and value.
    pub digest: String,
}

impl Unique {
    /// The digest of the rule: which property, and what counts as the same.
    #[must_use]
    pub fn rule(&self) -> String {
        digest([
            self.place.to_string().as_str(),
            &format!("{:?}", self.texts),
        ])
    }

    /// The digest under which the value of an object is held; none where it has none.
    #[must_use]
    pub fn digest(&self, object: &Object) -> Option<String> {
        let value = self.place.get(object).filter(|it| says_something(it))?;
        let text = match (value, self.texts) {
            (Value::String(text), Texts::Folded) => folded(text),
            (Value::String(text), Texts::Moments) => match moment(text) {
                Some(moment) => moment.timestamp_micros().to_string(),
                None => text.clone(),
            },
            (Value::String(text), Texts::Exact) => text.clone(),
            (Value::Number(number), _) => match number.as_i64() {
                Some(whole) => whole.to_string(),
                None => format!("{:?}", number.as_f64()),
            },
            (other, _) => other.to_string(),
        };
        Some(digest([self.rule().as_str(), &text]))
    }
}

/// What an object takes that it did not have before.
#[must_use]
pub fn claims(rules: &[Unique], old: Option<&Object>, new: Option<&Object>) -> Vec<Claim> {
    let claimed = |rule: &Unique| {
        let digest = rule.digest(new?)?;
        let had = old.and_then(|old| rule.digest(old));
        (had.as_ref() != Some(&digest)).then(|| Claim {
            name: rule.name.clone(),
            digest,
        })
    };
    rules.iter().filter_map(claimed).collect()
}

fn digest(parts: [&str; 2]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hexadecimal(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(texts: Texts) -> Unique {
        Unique {
            name: "userName".into(),
            place: Pointer::attribute("login"),
            texts,
        }
    }

    fn of(rule: &Unique, value: Value) -> Option<String> {
        rule.digest(json!({"login": value}).as_object().unwrap())
    }

    #[test]
    fn the_same_is_what_the_rule_says() {
        let (folded, exact) = (rule(Texts::Folded), rule(Texts::Exact));
        assert_eq!(of(&folded, json!("Ada")), of(&folded, json!("aDA")));
        assert_ne!(of(&exact, json!("Ada")), of(&exact, json!("aDA")));
        assert_ne!(of(&exact, json!("Ada")), of(&folded, json!("Ada")));
        assert_ne!(of(&exact, json!("1")), None);
        assert_eq!(
            (of(&exact, json!("")), of(&exact, Value::Null)),
            (None, None)
        );
    }

    #[test]
    fn only_what_is_new_is_claimed() {
        let rules = [rule(Texts::Folded)];
        let object = |name: &str| json!({"login": name}).as_object().cloned().unwrap();
        let (ada, other) = (object("ada"), object("ADA"));
        assert_eq!(claims(&rules, None, Some(&ada)).len(), 1);
        assert!(claims(&rules, Some(&ada), Some(&other)).is_empty());
        assert!(claims(&rules, Some(&ada), None).is_empty());
        assert_eq!(claims(&rules, Some(&ada), Some(&object("bob"))).len(), 1);
    }
}
