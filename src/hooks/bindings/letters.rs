//! Plain Latin letters for those of European languages.

/// Letters that are not simply a plain letter with a mark, in lower case. German umlauts are
/// written out, as is usual in login names and mail addresses.
const SPELLED: [(char, &str); 23] = [
    ('ä', "ae"),
    ('ö', "oe"),
    ('ü', "ue"),
    ('ß', "ss"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('ø', "o"),
    ('å', "a"),
    ('ð', "d"),
    ('þ', "th"),
    ('đ', "d"),
    ('ħ', "h"),
    ('ı', "i"),
    ('ĸ', "k"),
    ('ł', "l"),
    ('ŋ', "n"),
    ('ŧ', "t"),
    ('ſ', "s"),
    ('ĳ', "ij"),
    ('’', "'"),
    ('‘', "'"),
    ('–', "-"),
    ('—', "-"),
];

/// Plain letters, each with the marked ones that stand for it, in lower case.
const MARKED: [(&str, &str); 20] = [
    ("a", "áàâãāăąǎȁȃạảấầẩẫậắằẳẵặ"),
    ("c", "çćĉċč"),
    ("d", "ďḍ"),
    ("e", "éèêëēĕėęěȅȇẹẻẽếềểễệ"),
    ("g", "ĝğġģǧ"),
    ("h", "ĥḥ"),
    ("i", "íìîïĩīĭįǐỉị"),
    ("j", "ĵ"),
    ("k", "ķǩ"),
    ("l", "ĺļľŀ"),
    ("n", "ñńņňŉǹ"),
    ("o", "óòôõōŏőǒơọỏốồổỗộớờởỡợ"),
    ("p", "ṗ"),
    ("r", "ŕŗřȑ"),
    ("s", "śŝşšșṣ"),
    ("t", "ţťțṭ"),
    ("u", "úùûũūŭůűųǔưụủứừửữự"),
    ("w", "ŵẁẃẅ"),
    ("y", "ýÿŷỳỵỷỹ"),
    ("z", "źżžẓ"),
];

/// The text in ASCII; what has no plain form is dropped.
pub(super) fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            plain.push(letter);
        } else if letter.is_whitespace() {
            plain.push(' ');
        } else {
            push_plain(&mut plain, letter);
        }
    }
    plain
}

/// Lower-case plain letters and digits, with single hyphens between words.
pub(super) fn slug(text: &str) -> String {
    ascii(text)
        .to_ascii_lowercase()
        .replace('\'', "")
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

fn push_plain(plain: &mut String, letter: char) {
    let mut lower = letter.to_lowercase();
    let small = lower.next().unwrap_or(letter);
    if small.is_ascii() {
        plain.push(small.to_ascii_uppercase());
        return;
    }
    let Some(spelled) = spelled(small) else {
        return;
    };
    if small == letter {
        plain.push_str(spelled);
        return;
    }
    let mut letters = spelled.chars();
    plain.extend(letters.next().map(|first| first.to_ascii_uppercase()));
    plain.push_str(letters.as_str());
}

fn spelled(small: char) -> Option<&'static str> {
    let written = SPELLED.iter().find(|(letter, _)| *letter == small);
    written.map(|(_, spelled)| *spelled).or_else(|| {
        let marked = MARKED.iter().find(|(_, letters)| letters.contains(small));
        marked.map(|(plain, _)| *plain)
    })
}

#[cfg(test)]
mod tests {
    use super::{ascii, slug};

    #[test]
    fn european_names_become_plain() {
        for (name, plain) in [
            ("Jürgen Müßig", "Juergen Muessig"),
            ("Ärmel", "Aermel"),
            ("François Lœuillet", "Francois Loeuillet"),
            ("Łukasz Źródło", "Lukasz Zrodlo"),
            ("Đorđe Šarčević", "Dorde Sarcevic"),
            ("Søren Ångström", "Soren Angstroem"),
            ("Nguyễn", "Nguyen"),
            ("İbrahim", "Ibrahim"),
            ("山田 Taro", " Taro"),
        ] {
            assert_eq!(ascii(name), plain);
        }
        assert_eq!(slug("  Größe & Maß -- d'Oro "), "groesse-mass-doro");
    }
}
