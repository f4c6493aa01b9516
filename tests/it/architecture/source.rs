//! Reading Rust sources as text: what is code, which paths it names, which methods it calls.

/// The code of a source without comments, texts and character literals; lines stay lines.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = not_code(rest, code.chars().next_back());
        if skipped > 0 {
            let (gone, after) = rest.split_at(skipped);
            code.extend(gone.chars().filter(|character| *character == '\n'));
            code.push(' ');
            rest = after;
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    code
}

/// How many bytes at the start of `rest` are a comment or a literal.
fn not_code(rest: &str, before: Option<char>) -> usize {
    let in_name = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return text_literal(rest);
    }
    if rest.starts_with('\'') {
        return character_literal(rest);
    }
    if !in_name && (rest.starts_with("r\"") || rest.starts_with("r#")) {
        return raw_literal(rest);
    }
    0
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn text_literal(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

fn raw_literal(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let opening = hashes + 2;
    if rest.as_bytes().get(opening - 1) != Some(&b'"') {
        return 0; // a raw name such as `r#type`
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    rest[opening..]
        .find(&closing)
        .map_or(rest.len(), |at| opening + at + closing.len())
}

/// `'x'` and `'\n'` are characters, `'a` is a lifetime.
fn character_literal(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => rest[2..]
            .char_indices()
            .skip(1)
            .find(|(_, character)| *character == '\'')
            .map_or(0, |(at, _)| at + 3),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

/// The names that follow `prefix` (such as `crate::`) in `code`, each with its line (1-based);
/// a group `{a, b::c}` gives its first level.
pub fn names_after<'a>(code: &'a str, prefix: &str) -> Vec<(usize, &'a str)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|character| is_name(character) || character == ':') {
            continue;
        }
        let line = line_of(code, at);
        let rest = code[at + prefix.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => names.extend(parts(group).map(|part| (line, name(part.trim_start())))),
            None => names.push((line, name(rest))),
        }
    }
    names.retain(|(_, name)| !name.is_empty());
    names
}

/// Calls of a method or of a path's function with this name: their lines and numbers of arguments.
pub fn calls(code: &str, method: &str) -> Vec<(usize, usize)> {
    let called = format!("{method}(");
    code.match_indices(&called)
        .filter(|(at, _)| code[..*at].ends_with(['.', ':']))
        .map(|(at, _)| {
            let arguments = parts(&code[at + called.len()..])
                .filter(|argument| !argument.trim().is_empty())
                .count();
            (line_of(code, at), arguments)
        })
        .collect()
}

/// The comma-separated parts up to the bracket that closes them.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let mut cuts = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => {
                cuts.push(&text[start..at]);
                break;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                cuts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    cuts.into_iter()
}

fn name(text: &str) -> &str {
    let end = text
        .find(|character| !is_name(character))
        .unwrap_or(text.len());
    &text[..end]
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a /* b /* c */ d */ e // f\n\"g \\\" h\" i r#\"j\"k\"# 'l' '\\'' m: &'n str r#type";
    let code = code_of(text);
    for gone in ["b", "c", "d", "f", "g", "h", "j", "k", "l"] {
        assert!(!code.contains(gone), "{gone} in {code}");
    }
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "e", "i", "m:", "&'n", "str", "r#type"]);
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn names_and_groups_are_found() {
    let code = "use crate::{\n a::{x, y}, b,\n};\nlet z = crate::c::d(); mycrate::e; x::crate::f";
    let found: Vec<&str> = names_after(code, "crate::")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(found, ["a", "b", "c"]);
}

#[test]
fn arguments_are_counted() {
    let code = "x.update(a);\ny\n.update(f(a, b), [c, d],\n)\nupdate(a, b); z.update()";
    assert_eq!(calls(code, "update"), [(1, 1), (3, 2), (5, 0)]);
}
