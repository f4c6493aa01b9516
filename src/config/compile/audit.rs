//! From `[audit]` as written to valid settings.
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use url::Url;

use crate::{
    audit::delivery::{Destination, FileSettings, OtlpSettings, SyslogAddress, SyslogSettings},
    config::{
        problem::Problems,
        read::{Document, document::step},
        settings::Audit,
        written::project as written,
    },
    model::{
        signing::{Signer, Verifier},
        trust::Trust,
    },
};

/// The facility `log audit`.
const LOG_AUDIT: u8 = 13;
const DAY: u64 = 24 * 60 * 60;

/// Compiles the section; what is wrong is reported, and left out.
pub(crate) fn compile(
    written: written::Audit,
    document: &Document,
    folder: &Path,
    problems: &mut Problems,
) -> Audit {
    let mut work = Work {
        document,
        folder,
        problems,
    };
    let signer = written.checkpoint_key.as_deref().and_then(|pem| {
        let signer = Signer::from_pem(pem).map(Arc::new);
        let told = |error: &_| work.error("/audit/checkpoint_key", format!("{error}"));
        signer.inspect_err(told).ok()
    });
    let keys = written.public_keys.unwrap_or_default();
    let mut earlier = Trust::default();
    for (index, pem) in keys.iter().enumerate() {
        let pem = pem.as_deref().unwrap_or_default();
        match Verifier::all_from_pem(pem) {
            Ok(keys) => keys.into_iter().for_each(|key| earlier.add(key)),
            Err(error) => {
                work.error(
                    &step("/audit/public_keys", &index.to_string()),
                    format!("{error}"),
                );
            }
        }
    }
    if signer.is_none() && written.checkpoint_key.is_none() {
        for (name, is_there) in [
            (
                "checkpoint_file",
                written.checkpoint_file.is_some() && earlier.is_empty(),
            ),
            ("checkpoint_seconds", written.checkpoint_seconds.is_some()),
        ] {
            if is_there {
                let pointer = format!("/audit/{name}");
                let message = "has no effect without `checkpoint_key`";
                work.document.warning(work.problems, &pointer, message);
            }
        }
    }
    let destinations = written.destinations.unwrap_or_default();
    let compiled: BTreeMap<String, Destination> = destinations
        .into_iter()
        .filter_map(|(name, destination)| {
            let pointer = step("/audit/destinations", &name);
            Some((name, work.destination(destination?, &pointer)?))
        })
        .collect();
    Audit {
        keep: written
            .keep_days
            .map(|days| Duration::from_secs(u64::from(days) * DAY)),
        undelivered: Duration::from_secs(u64::from(written.undelivered_days.unwrap_or(30)) * DAY),
        earlier,
        signer,
        checkpoint_every: Duration::from_secs(written.checkpoint_seconds.unwrap_or(60)),
        checkpoint_file: written.checkpoint_file.map(|file| folder.join(file)),
        destinations: compiled,
    }
}

struct Work<'a> {
    document: &'a Document,
    folder: &'a Path,
    problems: &'a mut Problems,
}

impl Work<'_> {
    fn destination(&mut self, written: written::Destination, pointer: &str) -> Option<Destination> {
        use written::DestinationKind::{File, Otlp, Syslog};
        match written.kind? {
            File => self.file(written, pointer).map(Destination::File),
            Syslog => self.syslog(written, pointer).map(Destination::Syslog),
            Otlp => self.otlp(written, pointer).map(Destination::Otlp),
        }
    }

    fn file(&mut self, written: written::Destination, pointer: &str) -> Option<FileSettings> {
        let path = self.needed(written.path, pointer, "path", "the file's name")?;
        Some(FileSettings {
            path: self.folder.join(path),
            max_bytes: written.max_bytes.unwrap_or(100 * 1024 * 1024),
            max_age: written
                .max_age_hours
                .map(|hours| Duration::from_secs(hours * 60 * 60)),
            keep: written.keep_files,
        })
    }

    fn syslog(&mut self, written: written::Destination, pointer: &str) -> Option<SyslogSettings> {
        let expected = "an address such as `tcp://siem.example:514`";
        let address = self.needed(written.address, pointer, "address", expected)?;
        let address = self.address(&address, written.ca_file, pointer)?;
        Some(SyslogSettings {
            address,
            app_name: written.app_name.unwrap_or_else(|| "recant".to_owned()),
            facility: written.facility.unwrap_or(LOG_AUDIT),
        })
    }

    fn address(
        &mut self,
        text: &str,
        ca_file: Option<String>,
        pointer: &str,
    ) -> Option<SyslogAddress> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let place = host_and_port(rest);
        match (scheme, place) {
            ("unix", _) if rest.starts_with('/') => Some(SyslogAddress::Unix(rest.into())),
            ("udp", Some((_, address))) => Some(SyslogAddress::Udp(address)),
            ("tcp", Some((_, address))) => Some(SyslogAddress::Tcp(address)),
            ("tls", Some((host, address))) => {
                let expected = "the PEM file that the receiver's certificate must come from";
                let file = self.needed(ca_file, pointer, "ca_file", expected)?;
                let ca_file = self.folder.join(&file);
                if !ca_file.is_file() {
                    let message = format!("there is no file `{file}`");
                    self.error(&step(pointer, "ca_file"), message);
                    return None;
                }
                Some(SyslogAddress::Tls {
                    address,
                    host,
                    ca_file,
                })
            }
            _ => {
                let message = format!(
                    "`{text}` is no address: expected `udp://HOST:PORT`, `tcp://HOST:PORT`, \
                     `tls://HOST:PORT` or `unix:///PATH`"
                );
                self.error(&step(pointer, "address"), message);
                None
            }
        }
    }

    fn otlp(&mut self, written: written::Destination, pointer: &str) -> Option<OtlpSettings> {
        let expected = "an address such as `http://localhost:4318`";
        let endpoint = self.needed(written.endpoint, pointer, "endpoint", expected)?;
        let url = Url::parse(&endpoint).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(endpoint) = url else {
            let message = "expected an address that begins with http:// or https://";
            self.error(&step(pointer, "endpoint"), message.to_owned());
            return None;
        };
        let headers = written.headers.unwrap_or_default().into_iter();
        let headers: BTreeMap<String, String> = headers
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        for (name, value) in &headers {
            let is_sound = reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
                && reqwest::header::HeaderValue::from_str(value).is_ok();
            if !is_sound {
                let place = step(&step(pointer, "headers"), name);
                self.error(&place, "is no header that can be sent".to_owned());
                return None;
            }
        }
        Some(OtlpSettings { endpoint, headers })
    }

    fn needed(
        &mut self,
        value: Option<String>,
        pointer: &str,
        name: &str,
        expected: &str,
    ) -> Option<String> {
        if value.is_none() {
            self.error(pointer, format!("`{name}` is missing: expected {expected}"));
        }
        value
    }

    fn error(&mut self, pointer: &str, message: String) {
        self.document.error(self.problems, pointer, message);
    }
}

/// `HOST:PORT`, with the host apart.
fn host_and_port(text: &str) -> Option<(String, String)> {
    let text = text.trim_end_matches('/');
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    (is_port && !host.is_empty()).then(|| (host.to_owned(), text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_apart_from_ports() {
        let found = |text| host_and_port(text).map(|(host, _)| host);
        assert_eq!(found("siem.example:514").as_deref(), Some("siem.example"));
        assert_eq!(found("[::1]:514").as_deref(), Some("::1"));
        assert_eq!(found("siem.example"), None);
        assert_eq!(found("siem:x"), None);
        assert_eq!(found(":1"), None);
    }
}
