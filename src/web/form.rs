//! Fields of forms and of the query part of addresses.
use percent_encoding::percent_decode_str;

/// Names and values as a browser sent them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`; what is not UTF-8 is replaced.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(decoded.collect())
    }

    /// The first value of a field, as it was sent.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a field without the spaces around it; none where nothing is left.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.raw(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// The same as a text of its own.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// What is shown again in a field.
    pub(super) fn shown(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// Every value of a field.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Those that say something, without some of them, as the query part of an address.
    pub(super) fn query_without(&self, left_out: &[&str]) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(name, value)| !value.trim().is_empty() && !left_out.contains(&name.as_str()));
        let pairs = kept.map(|(name, value)| {
            let value = super::address::encoded(value.trim());
            format!("{}={value}", super::address::encoded(name))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_send_them() {
        let fields = Fields::parse("a=1+2&b=%C3%A4%26&b=2&empty=&c");
        assert_eq!(fields.get("a"), Some("1 2"));
        assert_eq!(fields.all("b"), ["ä&", "2"]);
        assert_eq!(fields.get("empty"), None);
        assert_eq!(fields.raw("c"), Some(""));
        assert_eq!(fields.query_without(&["a"]), "b=%C3%A4%26&b=2");
    }
}
