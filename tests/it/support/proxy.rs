//! A TCP proxy that cuts connections where a test wants it to.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What becomes of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// It passes.
    Pass,
    /// The next request is cut before the server gets it.
    CutRequest,
    /// The next request reaches the server, its answer does not come back.
    CutAnswer,
    /// The next HTTP request that writes is refused with 403 by the proxy itself.
    Forbid,
    /// The next LDAP request that writes is cut before the server gets it.
    CutEntryWrite,
}

/// A proxy on a free port of loopback.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    server: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    mode: AtomicU8,
    passed: AtomicU64,
    /// Whether the next cut is the last one.
    once: AtomicBool,
    /// Whether a cut closes the port, too.
    closes: AtomicBool,
    /// Whether the port shall be open.
    open: watch::Sender<bool>,
    /// Whether it is.
    listens: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy in front of `server`.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            mode: AtomicU8::new(Mode::Pass as u8),
            passed: AtomicU64::new(0),
            once: AtomicBool::new(false),
            closes: AtomicBool::new(false),
            open: watch::Sender::new(true),
            listens: watch::Sender::new(true),
        });
        tokio::spawn(accept(listener, server, Arc::clone(&state)));
        Self {
            address,
            server,
            state,
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of traffic from now on.
    pub fn set(&self, mode: Mode) {
        self.set_after(0, mode);
    }

    /// What becomes of traffic after so many more pieces in that direction have passed.
    pub fn set_after(&self, pieces: u64, mode: Mode) {
        self.state.once.store(false, Ordering::SeqCst);
        self.state.closes.store(false, Ordering::SeqCst);
        self.state.passed.store(pieces, Ordering::SeqCst);
        self.state.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Cuts the next request or its answer, and lets all pass after that.
    pub fn cut_once(&self, mode: Mode) {
        self.set(mode);
        self.state.once.store(true, Ordering::SeqCst);
    }

    /// The same after so many more have passed.
    pub fn cut_once_after(&self, pieces: u64, mode: Mode) {
        self.set_after(pieces, mode);
        self.state.once.store(true, Ordering::SeqCst);
    }

    /// Cuts the next request or its answer, and nobody gets through any more until `up`.
    pub fn cut_and_close(&self, mode: Mode) {
        self.cut_and_close_after(0, mode);
    }

    /// The same after so many more have passed.
    pub fn cut_and_close_after(&self, pieces: u64, mode: Mode) {
        self.set_after(pieces, mode);
        self.state.closes.store(true, Ordering::SeqCst);
    }

    /// Whether nobody gets through.
    pub fn is_down(&self) -> bool {
        !*self.state.listens.borrow()
    }

    /// Cuts every connection and refuses new ones. Returns when it does; for runtimes of several
    /// threads.
    pub fn down(&self) {
        self.state.open.send_replace(false);
        // The task that closes the port may be queued on this very thread.
        tokio::task::block_in_place(|| {
            while *self.state.listens.borrow() {
                std::thread::yield_now();
            }
        });
    }

    /// Lets everybody through again.
    pub fn up(&self) {
        self.set(Mode::Pass);
        if *self.state.listens.borrow() {
            return;
        }
        let listener = std::net::TcpListener::bind(self.address).expect("the same port");
        listener.set_nonblocking(true).expect("a port");
        let listener = TcpListener::from_std(listener).expect("a port");
        self.state.open.send_replace(true);
        self.state.listens.send_replace(true);
        tokio::spawn(accept(listener, self.server, Arc::clone(&self.state)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.open.send_replace(false);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: Arc<State>) {
    let mut open = state.open.subscribe();
    loop {
        tokio::select! {
            biased;
            () = ended(&mut open) => break,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { break };
                tokio::spawn(relay(client, server, Arc::clone(&state)));
            }
        }
    }
    drop(listener);
    state.listens.send_replace(false);
}

impl State {
    fn cuts(&self, wanted: Mode) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.mode.load(Ordering::SeqCst) == wanted as u8
            && self
                .passed
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_err()
    }

    /// Before a connection is cut: who comes back at once finds the port closed already.
    async fn close(&self) {
        if self.once.swap(false, Ordering::SeqCst) {
            self.mode.store(Mode::Pass as u8, Ordering::SeqCst);
        }
        if self.closes.swap(false, Ordering::SeqCst) {
            self.open.send_replace(false);
            let mut listens = self.listens.subscribe();
            ended(&mut listens).await;
        }
    }
}

async fn relay(client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let mut open = state.open.subscribe();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut request = vec![0; 65536];
    let mut answer = vec![0; 65536];
    loop {
        // Dropping both sockets at the end of this function is the cut.
        tokio::select! {
            () = ended(&mut open) => return,
            read = from_client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let cuts = state.cuts(Mode::CutRequest)
                    || (writes_entry(&request[..length]) && state.cuts(Mode::CutEntryWrite));
                if cuts {
                    state.close().await;
                    return;
                }
                if writes(&request[..length]) && state.cuts(Mode::Forbid) {
                    state.mode.store(Mode::Pass as u8, Ordering::SeqCst);
                    let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    let _ = to_client.write_all(refusal).await;
                    return;
                }
                if to_server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if state.cuts(Mode::CutAnswer) {
                    state.close().await;
                    return;
                }
                if to_client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn ended(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| !flag).await;
}

/// Whether an LDAP message is a request that writes: modify, add, delete or rename (RFC 4511, 4.2).
fn writes_entry(message: &[u8]) -> bool {
    let head = match message.get(1) {
        Some(long @ 0x80..) => 2 + usize::from(long & 0x7f),
        _ => 2,
    };
    let id = message.get(head..).unwrap_or_default();
    let operation = id
        .get(1)
        .and_then(|length| id.get(2 + usize::from(*length)));
    matches!(operation, Some(0x66 | 0x68 | 0x4a | 0x6c))
}

fn writes(request: &[u8]) -> bool {
    let methods: [&[u8]; 4] = [b"POST ", b"PUT ", b"PATCH ", b"DELETE "];
    methods.iter().any(|method| request.starts_with(method))
}
