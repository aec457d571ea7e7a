//! Numbers that tell texts apart.

use std::io::Write;

/// FNV-1a: equal texts have equal prints in every process.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    Fingerprint::default().and(bytes)
}

/// Fingerprints what is written to it, however large.
pub(crate) struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    pub(crate) const fn value(&self) -> u64 {
        self.0
    }

    fn and(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(self.0, |print, &byte| (print ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

impl Write for Fingerprint {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.and(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
