//! What holds for every file: an answer, places that exist, and nothing lost on the way through text.

use std::time::Duration;

use evenkeel_model::Timestamp;
use evenkeel_model::fleet::{Format, Window, read, words};
use proptest::prelude::*;
use proptest::sample::select;

const EXAMPLES: [&str; 3] = [
    include_str!("../../../infra/fleets/demo.toml"),
    include_str!("../../../infra/fleets/shop.toml"),
    include_str!("everything.toml"),
];

/// Pieces that a slip of the hand or of a template puts into a file.
const PIECES: [&str; 36] = [
    "",
    "\n",
    " ",
    "\"",
    "'''",
    "=",
    ".",
    ",",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "#",
    "-",
    "0",
    "1",
    "9",
    "99999999999",
    "1e9",
    "nan",
    "true",
    "null",
    "\u{0}",
    "ü",
    "\r",
    "\u{feff}",
    "2026-11-22",
    "s",
    "%",
    "fill = true\n",
    "[hosts]\n",
    "beat = \"5s\"\n",
    "[[pool]]\n",
    "[[service]]\n",
];

/// A file that was good, in TOML or JSON, with a few stretches of it replaced.
fn mutated() -> impl Strategy<Value = (String, Format)> {
    let change = (any::<prop::sample::Index>(), 0..20_usize, select(&PIECES[..]));
    (select(&EXAMPLES[..]), any::<bool>(), prop::collection::vec(change, 0..4)).prop_map(
        |(example, as_json, changes)| {
            let fleet = read(example, Format::Toml).expect("the examples are good");
            let (text, format) = if as_json {
                (fleet.to_json().expect("a fleet is JSON"), Format::Json)
            } else {
                (example.to_owned(), Format::Toml)
            };
            let mut characters = text.chars().collect::<Vec<_>>();
            for (at, length, piece) in changes {
                let from = at.index(characters.len() + 1);
                let to = (from + length).min(characters.len());
                characters.splice(from..to, piece.chars());
            }
            (characters.into_iter().collect(), format)
        },
    )
}

/// A good file with some of its numbers exchanged, which often still is one.
fn renumbered() -> impl Strategy<Value = String> {
    let numbers = prop::collection::vec(0..12_u32, 64);
    (select(&EXAMPLES[..]), numbers, 1..100_u32).prop_map(|(example, numbers, percent)| {
        let mut next = numbers.into_iter().cycle();
        let lines = example.lines().map(|line| match line.split_once(" = ") {
            Some((key, value)) if value.starts_with(|c: char| c.is_ascii_digit()) => {
                let number = next.next().unwrap_or_default();
                if key == "wave" && number % 2 == 0 {
                    format!("wave = \"{percent}%\"")
                } else {
                    format!("{key} = {number}")
                }
            }
            Some(_) | None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn check_answer(text: &str, format: Format) -> Result<(), TestCaseError> {
    match read(text, format) {
        Ok(fleet) => {
            let toml = fleet.to_toml().expect("a fleet is TOML");
            prop_assert_eq!(read(&toml, Format::Toml), Ok(fleet.clone()), "{}", toml);
            let json = fleet.to_json().expect("a fleet is JSON");
            prop_assert_eq!(read(&json, Format::Json), Ok(fleet), "{}", json);
        }
        Err(problems) => {
            let lines = text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
            prop_assert!(problems.iter().next().is_some(), "refused without a problem");
            prop_assert!(problems.iter().is_sorted_by_key(|problem| (problem.line, problem.column)));
            for problem in &problems {
                prop_assert!((1..=lines.len()).contains(&problem.line), "{problem} is outside of the file");
                // One past the end is where something is missing; one more is behind the last line's break.
                prop_assert!(
                    (1..=lines[problem.line - 1] + 2).contains(&problem.column),
                    "{problem:?} is outside of its line"
                );
                prop_assert!(!problem.message.chars().any(char::is_control), "{problem:?} could upset a terminal");
            }
        }
    }
    Ok(())
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"];

fn window() -> impl Strategy<Value = Window> {
    let days = select(vec!["daily", "Sun", "Mon-Fri", "Sat,Sun", "Tue,Thu-Sat"]);
    (days, 0..1440_u32, 1..1440_u32, select(&ZONES[..])).prop_map(|(days, from, length, zone)| {
        let to = (from + length) % 1440;
        let text = format!("{days} {:02}:{:02}-{:02}:{:02} {zone}", from / 60, from % 60, to / 60, to % 60);
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    })
}

/// Seconds from 2000 to 2040: many changes of the clocks, and Samoa's move across the date line.
fn moment() -> impl Strategy<Value = Timestamp> {
    (946_684_800..2_208_988_800_i64).prop_map(|second| Timestamp::from_second(second).expect("within the calendar"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Toml, Format::Json] {
            prop_assert!(read(&bytes, format).is_err(), "200 random bytes are no fleet");
        }
    }

    #[test]
    fn any_text_gets_an_answer(text in "(?s).{0,200}") {
        for format in [Format::Toml, Format::Json] {
            check_answer(&text, format)?;
        }
    }

    #[test]
    fn a_damaged_file_is_read_or_refused_with_places((text, format) in mutated()) {
        check_answer(&text, format)?;
    }

    #[test]
    fn a_cut_file_is_read_or_refused_with_places(example in select(&EXAMPLES[..]), end in any::<prop::sample::Index>()) {
        check_answer(&example[..end.index(example.len())], Format::Toml)?;
    }

    #[test]
    fn other_numbers_survive_text_or_are_refused(text in renumbered()) {
        check_answer(&text, Format::Toml)?;
    }

    #[test]
    fn any_duration_survives_its_words(milliseconds in 0..u64::from(u32::MAX) * 1_000) {
        let duration = Duration::from_millis(milliseconds);
        prop_assert_eq!(words::parse(&words::show(duration)), Ok(duration));
    }

    #[test]
    fn any_text_is_a_duration_or_not(text in "[0-9]{0,25}[ -~]{0,12}") {
        if let Ok(duration) = words::parse(&text) {
            prop_assert_eq!(words::parse(&words::show(duration)), Ok(duration));
        }
    }

    #[test]
    fn any_window_survives_text(window in window()) {
        prop_assert_eq!(window.to_string().parse(), Ok(window));
    }

    #[test]
    fn a_window_opens_at_its_next_start_and_not_before(window in window(), at in moment(), part in 0.0..1.0_f64) {
        let opens = window.next_start(at).expect("it opens again");
        prop_assert!(opens > at);
        prop_assert!(opens.duration_since(at).as_hours() <= 15 * 24);
        prop_assert!(window.contains(opens));
        let closes = window.closes(opens).expect("it is open");
        // Twenty-four hours, and an hour or a day of Samoa's when the clocks change.
        prop_assert!(closes > opens && closes.duration_since(opens).as_hours() <= 25);
        if !window.contains(at) {
            let between = opens.duration_since(at).mul_f64(part);
            prop_assert!(!window.contains(at + between), "open at {} before {}", at + between, opens);
        }
    }
}
