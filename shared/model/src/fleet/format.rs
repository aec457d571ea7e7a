//! The two ways to write a fleet file.

/// How a fleet file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// JSON as RFC 8259 has it: no comments, no trailing commas, no key twice.
    Json,
}

impl Format {
    /// The format of a text whose name says nothing, such as an SSM parameter: JSON starts with a brace, TOML never.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        if text.trim_ascii_start().starts_with(b"{") { Self::Json } else { Self::Toml }
    }
}
