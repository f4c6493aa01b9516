//! Who gets in, and what they may: sessions, tokens, providers, certificates, and what each role sees.
mod certificates;
mod hostile;
mod lockout;
mod matrix;
mod provider;
mod sessions;
mod sign_in;
mod stolen;
mod tokens;
mod views;
