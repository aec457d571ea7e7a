//! The JSON of an item as the table keeps it: text, or deflated where it is large.

use std::fmt;
use std::io::{Read, Write};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// DynamoDB charges by the kilobyte written, and an item ends at 400 KB (DynamoDB developer guide, "Quotas"). The JSON of
/// many hosts is a tenth when deflated; what is small stays readable in the console.
const LARGE: usize = 4_096;
/// No body is larger, whatever it says of itself.
const MOST: u64 = 64 << 20;

/// An item's JSON. It is deflated when somebody asks for that, once for all of its clones.
#[derive(Clone)]
pub struct Body(Arc<Inner>);

struct Inner {
    text: String,
    deflated: OnceLock<Option<Vec<u8>>>,
}

impl Body {
    /// What the table keeps instead of the text; none where the text is as good.
    #[must_use]
    pub fn deflated(&self) -> Option<&[u8]> {
        self.0.deflated.get_or_init(|| deflate(&self.0.text)).as_deref()
    }

    /// Bytes in the table.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        self.deflated().map_or(self.0.text.len(), <[u8]>::len)
    }

    /// The text of what was deflated; none where it is no body of ours.
    #[must_use]
    pub fn inflate(bytes: &[u8]) -> Option<String> {
        let mut text = String::new();
        ZlibDecoder::new(bytes).take(MOST).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

fn deflate(text: &str) -> Option<Vec<u8>> {
    if text.len() <= LARGE {
        return None;
    }
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail; were it to, the text is as good.
    let bytes = deflated.write_all(text.as_bytes()).and_then(|()| deflated.finish()).ok()?;
    (bytes.len() < text.len()).then_some(bytes)
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Arc::new(Inner { text, deflated: OnceLock::new() }))
    }
}

impl Deref for Body {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_or_cannot_be_deflated_stays_text() {
        let small = Body::from("x".repeat(LARGE));
        assert_eq!((small.deflated(), small.stored_len()), (None, LARGE));
        let large = Body::from("x".repeat(100 * LARGE));
        assert!(large.stored_len() < LARGE);
        assert_eq!(large.deflated().and_then(Body::inflate).as_deref(), Some(&*large));
        assert_eq!(large.clone().deflated().map(<[u8]>::as_ptr), large.deflated().map(<[u8]>::as_ptr), "once for all");
        assert_eq!(Body::inflate(b"{}"), None);
    }
}
