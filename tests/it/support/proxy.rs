//! A TCP proxy that cuts connections where a test wants it to.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
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
}

/// A proxy on a free port of loopback.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
    passed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `server`.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mode = Arc::new(AtomicU8::new(Mode::Pass as u8));
        let passed = Arc::new(AtomicU64::new(0));
        let (shared, count) = (Arc::clone(&mode), Arc::clone(&passed));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(
                    client,
                    server,
                    Arc::clone(&shared),
                    Arc::clone(&count),
                ));
            }
        });
        Self {
            address,
            mode,
            passed,
            task,
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
        self.passed.store(pieces, Ordering::SeqCst);
        self.mode.store(mode as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, server: SocketAddr, mode: Arc<AtomicU8>, count: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let cuts = |wanted: Mode| {
        let less = |left: u64| left.checked_sub(1);
        mode.load(Ordering::SeqCst) == wanted as u8
            && count
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_err()
    };
    let mut request = vec![0; 65536];
    let mut answer = vec![0; 65536];
    loop {
        // Dropping both sockets at the end of this function is the cut.
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                if cuts(Mode::CutRequest) {
                    return;
                }
                if to_server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if cuts(Mode::CutAnswer) {
                    return;
                }
                if to_client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
