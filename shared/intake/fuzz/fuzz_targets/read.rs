//! No bytes make `read` panic, and every id that it hands on passes the checks of a fresh deserialization.
#![no_main]

use evenkeel_intake::{MAX_ITEMS, read};
use evenkeel_model::trigger::Trigger;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let intake = read(payload);
    assert!(intake.items.len() <= MAX_ITEMS + 1, "{} items", intake.items.len());
    for trigger in intake.triggers() {
        let json = serde_json::to_string(trigger).expect("a trigger is plain data");
        let again: Trigger = serde_json::from_str(&json).expect("a trigger is valid");
        assert_eq!(&again, trigger);
    }
});
