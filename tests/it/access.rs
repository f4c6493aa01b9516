//! Who gets in, and what they may: sessions, tokens, providers, certificates, and what each role sees.
mod sessions;
