//! Cookies of the pages: their names and attributes, as texts of headers.
use std::time::Duration;

/// How browsers reach the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// By TLS, Recant's own or that of a proxy before it.
    Encrypted,
    /// In the clear, on this machine.
    Plain,
}

/// What a cookie is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The secret of a session.
    Session,
    /// What binds a sign-in at a provider to the browser that began it.
    SignIn,
    /// What binds the form of the sign-in page to the browser that it was given to.
    Door,
}

impl Carrier {
    /// The name of a cookie. With the prefix `__Host-` a browser takes it from this very host only,
    /// by TLS, and sends it nowhere else.
    #[must_use]
    pub fn name(self, cookie: Cookie) -> &'static str {
        match (self, cookie) {
            (Self::Encrypted, Cookie::Session) => "__Host-recant",
            (Self::Encrypted, Cookie::SignIn) => "__Host-recant-sign-in",
            (Self::Encrypted, Cookie::Door) => "__Host-recant-door",
            (Self::Plain, Cookie::Door) => "recant-door",
            (Self::Plain, Cookie::Session) => "recant",
            (Self::Plain, Cookie::SignIn) => "recant-sign-in",
        }
    }

    /// The header `Set-Cookie` that makes a browser keep a cookie. `SameSite=Lax`: a provider sends
    /// the browser back here, and `Strict` would leave the cookie at home then.
    #[must_use]
    pub fn keep(self, cookie: Cookie, value: &str, lifetime: Duration) -> String {
        let secure = match self {
            Self::Encrypted => "; Secure",
            Self::Plain => "",
        };
        format!(
            "{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.name(cookie),
            lifetime.as_secs()
        )
    }

    /// The header `Set-Cookie` that makes a browser forget a cookie.
    #[must_use]
    pub fn forget(self, cookie: Cookie) -> String {
        self.keep(cookie, "", Duration::ZERO)
    }

    /// The value of a cookie in the headers `Cookie` of a request.
    pub fn find<'a>(
        self,
        cookie: Cookie,
        headers: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let name = self.name(cookie);
        headers
            .into_iter()
            .flat_map(|header| header.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(found, value)| *found == name && !value.is_empty())
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_locked_to_this_host_and_out_of_reach_of_scripts() {
        let hour = Duration::from_secs(3600);
        assert_eq!(
            Carrier::Encrypted.keep(Cookie::Session, "abc", hour),
            "__Host-recant=abc; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            Carrier::Plain.forget(Cookie::Session),
            "recant=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn a_cookie_is_found_under_its_whole_name_only() {
        let headers = ["a=1; recant-sign-in=s; __Host-recant=t", "recant=u"];
        let find = |carrier: Carrier, cookie| carrier.find(cookie, headers);
        assert_eq!(find(Carrier::Plain, Cookie::Session), Some("u"));
        assert_eq!(find(Carrier::Plain, Cookie::SignIn), Some("s"));
        assert_eq!(find(Carrier::Encrypted, Cookie::Session), Some("t"));
        assert_eq!(find(Carrier::Encrypted, Cookie::SignIn), None);
        assert_eq!(Carrier::Plain.find(Cookie::Session, ["recant="]), None);
    }
}
