//! Added to a copy of the sources by `tests/mutants/run`, and to nothing else: which deliberate bug is on in this process.

use std::io::Write;
use std::sync::OnceLock;

/// A place with a deliberate bug.
pub(crate) struct Site {
    name: &'static str,
    on: OnceLock<bool>,
}

impl Site {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, on: OnceLock::new() }
    }

    /// Whether it is the one that the environment asks for. The first time, it is noted that the place was reached.
    pub(crate) fn is_on(&self) -> bool {
        *self.on.get_or_init(|| {
            if let Some(path) = std::env::var_os("EVENKEEL_MUTANTS_REACHED") {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
                let mut file = file.expect("the file that says what was reached");
                // In one write, because several processes may write at once.
                file.write_all(format!("{}\n", self.name).as_bytes()).expect("a line in that file");
            }
            std::env::var_os("EVENKEEL_MUTANT").is_some_and(|asked| asked == self.name)
        })
    }
}

macro_rules! mutated {
    ($name:literal) => {{
        static SITE: $crate::mutants::Site = $crate::mutants::Site::new($name);
        SITE.is_on()
    }};
}
pub(crate) use mutated;
