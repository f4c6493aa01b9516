//! What a result code or a broken connection means: nothing happened, not yet, or nobody knows.
use ldap3::{LdapError, LdapResult};

use crate::{connectors::Error, model::CauseKind};

/// The request control of password policies, and its answer (draft-behera-ldap-password-policy, 6).
pub const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// What was going on when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connecting, binding or reading: nothing was to be changed.
    Harmless,
    /// A write was sent, or may have been.
    Write,
}

/// An error of the connection in the words of a connector.
pub fn broken(error: LdapError, stage: Stage, place: &str) -> Error {
    match error {
        LdapError::LdapResult { result } => answered(&result, stage),
        // The connection had ended before: nothing was sent.
        LdapError::OpSend { .. } => {
            Error::unavailable(81, format!("the connection to {place} was lost"))
        }
        LdapError::FilterParsing | LdapError::AddNoValues | LdapError::DecodingUTF8 => {
            Error::refused(400, error.to_string())
        }
        error if stage == Stage::Write => {
            let message = format!("the connection to {place} was lost while it was writing");
            Error::unknown(81, message).because(error)
        }
        error => Error::unavailable(81, format!("no answer from {place}: {}", told(&error)))
            .because(error),
    }
}

fn told(error: &LdapError) -> String {
    match error {
        LdapError::ResultRecv { .. } | LdapError::EndOfStream => "the connection was lost".into(),
        LdapError::Io { source } => source.to_string(),
        other => other.to_string(),
    }
}

/// What the server answered, with its own words. Codes are those of RFC 4511, A.1.
pub fn answered(result: &LdapResult, stage: Stage) -> Error {
    let message = words(result);
    let code = result.rc;
    match (code, stage) {
        // assertionFailed (RFC 4528): a write happens only to what was read.
        (122, _) => Error::refused(412, format!("the entry is not what was read: {message}")),
        (51 | 52, _) => Error::unavailable(code, message),
        // The server gave up in the middle, or does not know itself.
        (3 | 80 | 88 | 118, Stage::Write) => Error::unknown(code, message),
        (3 | 80 | 88 | 118, Stage::Harmless) => Error::unavailable(code, message),
        (4 | 11, Stage::Harmless) => {
            let message = format!("{message}: raise the server's limits for the account");
            Error::refused(code, message)
        }
        (10, _) => {
            let to = result.refs.join(", ");
            let message =
                format!("the server only knows who writes here: {to}; name that in `url`");
            Error::refused(code, message)
        }
        _ => Error::refused(code, message),
    }
}

/// Whether a value that was to go was gone, or one that was to come was there (noSuchAttribute,
/// attributeOrValueExists): the entry is not what was read, or the new values are the same to the
/// server.
pub fn is_about_values(error: &Error) -> bool {
    error.kind == CauseKind::Refused && (error.code == 16 || error.code == 20)
}

/// The same where the entry is not what was read.
pub fn stale(error: Error) -> Error {
    if !is_about_values(&error) {
        return error;
    }
    let message = format!("the entry is not what was read: {}", error.message);
    Error::refused(412, message)
}

/// The server's own words, its policy's, and the name of the code.
fn words(result: &LdapResult) -> String {
    let mut words = Vec::new();
    if !result.text.is_empty() {
        words.push(result.text.clone());
    }
    let policy = result
        .ctrls
        .iter()
        .filter(|control| control.1.ctype == PASSWORD_POLICY)
        .find_map(|control| control.1.val.as_deref().and_then(policy_error));
    words.extend(policy.map(str::to_owned));
    let name = name(result.rc);
    if words.is_empty() {
        format!("{name} ({})", result.rc)
    } else {
        format!("{} ({} {name})", words.join("; "), result.rc)
    }
}

/// What the answer of the password policy says: `SEQUENCE { warning [0] …, error [1] ENUMERATED }`.
fn policy_error(value: &[u8]) -> Option<&'static str> {
    let [.., 0x81, 1, error] = value else {
        return None;
    };
    Some(match error {
        0 => "the password has expired",
        1 => "the account is locked",
        2 => "the password must be changed first",
        3 => "the password may not be changed",
        4 => "the old password must be supplied too",
        5 => "the password is not good enough",
        6 => "the password is too short",
        7 => "the password was changed too recently",
        8 => "the password was used before",
        9 => "the password is too long",
        _ => return None,
    })
}

fn name(code: u32) -> &'static str {
    match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        16 => "noSuchAttribute",
        17 => "undefinedAttributeType",
        18 => "inappropriateMatching",
        19 => "constraintViolation",
        20 => "attributeOrValueExists",
        21 => "invalidAttributeSyntax",
        32 => "noSuchObject",
        33 => "aliasProblem",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        54 => "loopDetect",
        64 => "namingViolation",
        65 => "objectClassViolation",
        66 => "notAllowedOnNonLeaf",
        67 => "notAllowedOnRDN",
        68 => "entryAlreadyExists",
        69 => "objectClassModsProhibited",
        71 => "affectsMultipleDSAs",
        80 => "other",
        122 => "assertionFailed",
        _ => "LDAP result",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::controls::{Control, RawControl};

    fn result(rc: u32, text: &str) -> LdapResult {
        LdapResult {
            rc,
            matched: String::new(),
            text: text.to_owned(),
            refs: vec!["ldap://main.example".to_owned()],
            ctrls: Vec::new(),
        }
    }

    #[test]
    fn a_code_says_what_is_certain() {
        for code in [
            1, 2, 8, 10, 11, 12, 17, 19, 21, 32, 48, 49, 50, 53, 54, 64, 65, 66, 68, 71, 122,
        ] {
            let error = answered(&result(code, "no"), Stage::Write);
            assert_eq!(error.kind, CauseKind::Refused, "{code}");
        }
        for code in [51, 52] {
            let error = answered(&result(code, ""), Stage::Write);
            assert_eq!(error.kind, CauseKind::Unavailable, "{code}");
        }
        for code in [3, 80, 88, 118] {
            let write = answered(&result(code, ""), Stage::Write);
            assert_eq!(write.kind, CauseKind::Unknown, "{code}");
            let read = answered(&result(code, ""), Stage::Harmless);
            assert_eq!(read.kind, CauseKind::Unavailable, "{code}");
        }
        let referral = answered(&result(10, ""), Stage::Write);
        assert!(
            referral.message.contains("ldap://main.example"),
            "{referral}"
        );
    }

    #[test]
    fn a_password_policy_is_passed_on_in_its_own_words() {
        let mut refusal = result(19, "Password fails quality checking policy");
        let raw = |value: &[u8]| RawControl {
            ctype: PASSWORD_POLICY.to_owned(),
            crit: false,
            val: Some(value.to_vec()),
        };
        refusal.ctrls = vec![Control(None, raw(&[0x30, 3, 0x81, 1, 6]))];
        assert_eq!(
            answered(&refusal, Stage::Write).message,
            "Password fails quality checking policy; the password is too short (19 constraintViolation)"
        );
        refusal.ctrls = vec![Control(None, raw(&[0x30, 0]))];
        assert!(!answered(&refusal, Stage::Write).message.contains(';'));
    }
}
