//! Connections to a directory: a pool that notices the dead ones, and one request at a time.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchEntry, StdStream,
    adapters::EntriesOnly,
    controls::{PagedResults, RawControl},
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    answers,
    failure::{Stage, answered, broken},
    range::Piece,
    settings::Settings,
    tls,
};
use crate::{
    connectors::{Error, signs},
    model::CauseKind,
};

/// How many connections there are at most.
const CONNECTIONS: usize = 16;
/// A connection that was unused for longer is asked something harmless before it is used: what
/// stands between may have forgotten it without a word.
const TRUSTED: Duration = Duration::from_millis(500);
/// How long a harmless question may take before the connection counts as dead.
const PROBE: Duration = Duration::from_secs(2);

/// Connections that are bound already.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    tls: Option<Arc<rustls::ClientConfig>>,
    timeout: Duration,
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection, and its socket to look at.
struct Connection {
    ldap: Ldap,
    socket: std::net::TcpStream,
}

impl Connection {
    /// Whether the server has hung up, or said something that nobody asked for, which is how it
    /// says that it will.
    fn is_over(&mut self) -> bool {
        let peeked = self.socket.peek(&mut [0]);
        let is_silent =
            matches!(&peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        self.ldap.is_closed() || !is_silent
    }
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Idle").finish_non_exhaustive()
    }
}

/// A connection in use. It only goes back to the pool when it is given back: one whose call was
/// dropped may still be busy.
pub struct Lease {
    connection: Connection,
    is_fresh: bool,
    place: String,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// An entry as the server gives it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    /// The values of each attribute, in no order.
    pub attributes: BTreeMap<String, Vec<Vec<u8>>>,
}

/// A page of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// The entries.
    pub entries: Vec<Entry>,
    /// What the server wants to see to give the next page; empty after the last one.
    pub cookie: Vec<u8>,
}

impl Entry {
    /// The entry that a search or a post-read control gave.
    #[must_use]
    pub fn new(found: SearchEntry) -> Self {
        let texts = found.attrs.into_iter().map(|(name, values)| {
            let values = values.into_iter().map(String::into_bytes).collect();
            (name, values)
        });
        Self {
            dn: found.dn,
            attributes: texts.chain(found.bin_attrs).collect(),
        }
    }

    /// The values of an attribute.
    #[must_use]
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, values)| values.as_slice())
            .unwrap_or_default()
    }

    /// The values of an attribute that are text.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        let values = self.values(name).iter();
        values
            .filter_map(|value| String::from_utf8(value.clone()).ok())
            .collect()
    }
}

impl Pool {
    /// No connection yet.
    ///
    /// # Errors
    /// Refused where the CA file cannot be used.
    pub fn new(settings: Settings, timeout: Duration) -> Result<Self, Error> {
        Ok(Self {
            tls: settings.ca_file.as_deref().map(tls::client).transpose()?,
            settings,
            timeout,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
        })
    }

    /// A connection that works as far as can be told: one that was unused for a while answers
    /// a question first. It takes no longer than a part of an attempt's time, so that a server
    /// that does not answer is known before a write was sent.
    ///
    /// # Errors
    /// Unavailable where the server cannot be reached or its certificate is not trusted; refused
    /// where it does not take the credentials.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let limit = self.timeout * 2 / 3;
        let leased = tokio::time::timeout(limit, self.unlimited_lease()).await;
        leased.unwrap_or_else(|_| {
            let (place, waited) = (self.settings.place(), limit.as_millis());
            let message = format!("{place} gives no connection within {waited} ms");
            Err(Error::unavailable(85, message))
        })
    }

    async fn unlimited_lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Error::unavailable(503, "the connector is closed"))?;
        let lease = |connection, is_fresh, permit| Lease {
            connection,
            is_fresh,
            place: self.settings.place(),
            pool: Arc::clone(self),
            _permit: permit,
        };
        while let Some(Idle {
            mut connection,
            since,
        }) = self.take()
        {
            let limit = PROBE.min(self.timeout / 3);
            if since.elapsed() > TRUSTED && !answers(&mut connection.ldap, limit).await {
                continue;
            }
            if !connection.is_over() {
                return Ok(lease(connection, false, permit));
            }
        }
        let connection = self.connect().await?;
        Ok(lease(connection, true, permit))
    }

    /// Every entry that a search finds. A connection that broke while it was unused says nothing
    /// about the server, so the search is tried again on a new one.
    ///
    /// # Errors
    /// As [`Lease::search`].
    pub async fn search(
        self: &Arc<Self>,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, Error> {
        let mut lease = self.lease().await?;
        let mut found = lease.search(base, scope, filter, attributes).await;
        if found.is_err() && !lease.is_fresh && lease.connection.is_over() {
            drop(lease);
            self.forget();
            lease = self.lease().await?;
            found = lease.search(base, scope, filter, attributes).await;
        }
        // Of a search that broke off more may come.
        if !matches!(&found, Err(error) if error.kind == CauseKind::Unavailable) {
            lease.give_back();
        }
        found
    }

    /// Where the server is, for messages.
    pub fn place(&self) -> String {
        self.settings.place()
    }

    /// Closes every connection that is not in use.
    pub fn forget(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.clear();
    }

    fn take(&self) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let place = self.settings.place();
        let mut connection = self.open().await?;
        let Some((dn, password)) = &self.settings.bind else {
            return Ok(connection);
        };
        let result = connection
            .ldap
            .simple_bind(dn, password.expose())
            .await
            .map_err(|error| broken(error, Stage::Harmless, &place))?;
        signs::answered();
        match result.rc {
            0 => Ok(connection),
            49 => {
                let said = answered(&result, Stage::Harmless).message;
                let message =
                    format!("the credentials are wrong (`bindDn`, `bindPassword`): {said}");
                Err(Error::refused(49, message))
            }
            8 | 13 => {
                let said = answered(&result, Stage::Harmless).message;
                let message = format!(
                    "the server takes no password without encryption (use `ldaps` or set \
                     `startTls`): {said}"
                );
                Err(Error::refused(result.rc, message))
            }
            _ => Err(answered(&result, Stage::Harmless)),
        }
    }

    async fn open(&self) -> Result<Connection, Error> {
        let place = self.settings.place();
        let host = self.settings.url.host_str().unwrap_or_default();
        let unreached = |error: std::io::Error| {
            Error::unavailable(81, format!("{place} cannot be reached: {error}")).because(error)
        };
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), self.settings.port()))
            .await
            .map_err(unreached)?;
        stream.set_nodelay(true).map_err(unreached)?;
        let stream = stream.into_std().map_err(unreached)?;
        let socket = stream.try_clone().map_err(unreached)?;
        let mut options = LdapConnSettings::new()
            .set_starttls(self.settings.start_tls)
            .set_std_stream(StdStream::Tcp(stream));
        if let Some(tls) = &self.tls {
            options = options.set_config(Arc::clone(tls));
        }
        let (connection, ldap) = LdapConnAsync::from_url_with_settings(options, &self.settings.url)
            .await
            .map_err(|error| self.unopened(error))?;
        let target = place.clone();
        // It ends when the last handle is dropped, or when the server hangs up.
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, %target, "the connection to a directory ended");
            }
        });
        Ok(Connection { ldap, socket })
    }

    /// Why TLS could not be agreed on.
    fn unopened(&self, error: LdapError) -> Error {
        let place = self.settings.place();
        if let LdapError::LdapResult { result } = &error {
            signs::answered();
            let said = answered(result, Stage::Harmless).message;
            let message = format!("{place} does not offer StartTLS (`startTls`): {said}");
            return Error::refused(result.rc, message);
        }
        let text = match &error {
            LdapError::Io { source } => source.to_string(),
            other => other.to_string(),
        };
        let message = if text.contains("certificate") {
            let from = self.settings.ca_file.as_deref().map_or_else(
                || "the system's authorities: name its own in `caFile`".to_owned(),
                |file| format!("those in `{}` (`caFile`)", file.display()),
            );
            format!("the certificate of {place} is not trusted by {from}: {text}")
        } else {
            format!("no TLS connection to {place}: {text}")
        };
        Error::unavailable(81, message).because(error)
    }
}

/// Whether a connection still answers.
async fn answers(ldap: &mut Ldap, limit: Duration) -> bool {
    let asked = ldap.search("", Scope::Base, "(objectClass=*)", ["1.1"]);
    matches!(tokio::time::timeout(limit, asked).await, Ok(Ok(_)))
}

impl Lease {
    /// Puts the connection back, where it still works.
    pub fn give_back(mut self) {
        if self.connection.is_over() {
            return;
        }
        let Self {
            connection, pool, ..
        } = self;
        let idle = Idle {
            connection,
            since: Instant::now(),
        };
        let mut all = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(idle);
    }

    /// Every entry that a search finds. Where only the base is asked for, it may be missing.
    ///
    /// # Errors
    /// Unavailable where the connection is lost; refused where the server says no.
    pub async fn search(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, Error> {
        let found = self.request(base, scope, filter, attributes, None).await?;
        Ok(found.entries)
    }

    /// A page of a search below `base`.
    ///
    /// # Errors
    /// As [`Lease::search`].
    pub async fn page(
        &mut self,
        base: &str,
        filter: &str,
        attributes: &[&str],
        page: PagedResults,
    ) -> Result<Found, Error> {
        self.request(base, Scope::Subtree, filter, attributes, Some(page))
            .await
    }

    /// A search, with all the values of every entry that it finds.
    async fn request(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        page: Option<PagedResults>,
    ) -> Result<Found, Error> {
        let mut found = self.ask(base, scope, filter, attributes, page).await?;
        for entry in &mut found.entries {
            while let Some(piece) = Piece::of(entry) {
                self.complete(entry, piece).await?;
            }
        }
        Ok(found)
    }

    /// Fetches the values that a server left out behind a piece of them.
    async fn complete(&mut self, entry: &mut Entry, first: Piece) -> Result<(), Error> {
        let broken_off = |name: &str| {
            let message = format!("the server gives no whole `{name}` of {}", entry.dn);
            Error::unavailable(80, message)
        };
        let mut values = Vec::new();
        let (name, mut next) = (first.name.clone(), first.next);
        values.extend(
            entry
                .attributes
                .get(&first.shown)
                .cloned()
                .unwrap_or_default(),
        );
        while let Some(from) = next {
            let asked = first.from(from);
            let found = self
                .ask(&entry.dn, Scope::Base, "(objectClass=*)", &[&asked], None)
                .await?;
            signs::further();
            let more = found.entries.into_iter().next();
            let mut more = more.ok_or_else(|| broken_off(&name))?;
            let piece = Piece::of(&more).ok_or_else(|| broken_off(&name))?;
            if piece.next.is_some_and(|next| next <= from) {
                return Err(broken_off(&name));
            }
            values.extend(more.attributes.remove(&piece.shown).unwrap_or_default());
            next = piece.next;
        }
        entry.attributes.remove(&first.shown);
        entry.attributes.entry(name).or_default().extend(values);
        Ok(())
    }

    async fn ask(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        page: Option<PagedResults>,
    ) -> Result<Found, Error> {
        let lost = |error, place: &str| broken(error, Stage::Harmless, place);
        let ldap = match page {
            Some(page) => self.connection.ldap.with_controls(page),
            None => &mut self.connection.ldap,
        };
        // Referrals to other servers are no entries of this one.
        let mut stream = ldap
            .streaming_search_with(EntriesOnly::new(), base, scope, filter, attributes)
            .await
            .map_err(|error| lost(error, &self.place))?;
        let mut found = Found::default();
        while let Some(entry) = stream
            .next()
            .await
            .map_err(|error| lost(error, &self.place))?
        {
            found.entries.push(answers::entry(entry, &self.place)?);
        }
        let result = stream.finish().await;
        signs::answered();
        match result.rc {
            0 => {}
            // The one entry that was asked for is not there.
            32 if scope == Scope::Base => {}
            _ => return Err(answered(&result, Stage::Harmless)),
        }
        found.cookie = cookie(&result).ok_or_else(|| answers::unreadable(&self.place))?;
        Ok(found)
    }

    /// The connection itself, for one write.
    pub fn with_controls(&mut self, controls: Vec<RawControl>) -> &mut Ldap {
        self.connection.ldap.with_controls(controls)
    }

    /// What a write came to. The answer may hold controls.
    ///
    /// # Errors
    /// *Unknown* where the connection is lost in between.
    pub fn outcome(&self, outcome: Result<LdapResult, LdapError>) -> Result<LdapResult, Error> {
        if matches!(outcome, Ok(_) | Err(LdapError::LdapResult { .. })) {
            signs::answered();
        }
        outcome.map_err(|error| broken(error, Stage::Write, &self.place))
    }
}

/// Where the next page begins; none where the answer cannot be read.
fn cookie(result: &LdapResult) -> Option<Vec<u8>> {
    let paged = result.ctrls.iter().find_map(|control| match control {
        ldap3::controls::Control(Some(ldap3::controls::ControlType::PagedResults), raw) => {
            Some(answers::read(|| raw.parse::<PagedResults>()))
        }
        _ => None,
    });
    paged.map_or_else(|| Some(Vec::new()), |paged| paged.map(|paged| paged.cookie))
}
