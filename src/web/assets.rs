//! The stylesheet, the script and the icon, as they are in the program.
use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::trouble::{Result, Trouble};
use crate::model::audit::hexadecimal;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/script.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Addresses hold the digest of what they lead to, so that browsers may keep it.
static STYLE_ADDRESS: LazyLock<String> = LazyLock::new(|| address("style", "css", STYLE));
static SCRIPT_ADDRESS: LazyLock<String> = LazyLock::new(|| address("script", "js", SCRIPT));

fn address(name: &str, ending: &str, text: &str) -> String {
    let digest = hexadecimal(&Sha256::digest(text));
    let digest = digest.get(..12).unwrap_or_default();
    format!("/ui/assets/{name}-{digest}.{ending}")
}

/// Where the stylesheet is.
pub(super) fn style_address() -> &'static str {
    &STYLE_ADDRESS
}

/// Where the script is.
pub(super) fn script_address() -> &'static str {
    &SCRIPT_ADDRESS
}

/// One of them.
pub(super) async fn asset(Path(name): Path<String>) -> Result {
    let is = |address: &str| address.strip_prefix("/ui/assets/") == Some(name.as_str());
    if is(&STYLE_ADDRESS) {
        Ok(kept("text/css; charset=utf-8", STYLE))
    } else if is(&SCRIPT_ADDRESS) {
        Ok(kept("text/javascript; charset=utf-8", SCRIPT))
    } else if name == "icon.svg" {
        Ok(kept("image/svg+xml", ICON))
    } else {
        Err(Trouble::new(404, "There is no such file."))
    }
}

/// What never changes under its address.
fn kept(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=86400"),
        ),
    ];
    (headers, text).into_response()
}
