//! What the tests of this crate share: the samples, and wrappers as AWS writes them.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

/// The project's own payloads. Tests run in their package's folder; one that was known when they were compiled may be
/// another checkout's.
pub(crate) fn samples() -> PathBuf {
    PathBuf::from("../../events")
}

/// The JSON files of a folder, by name, in order.
pub(crate) fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// One message of a queue, as Lambda gets it.
pub(crate) fn in_sqs(body: &str) -> String {
    json!({ "Records": [{ "messageId": "m-1", "receiptHandle": "r", "body": body, "attributes": {}, "eventSource": "aws:sqs" }] })
        .to_string()
}

/// A notification, as a queue gets it.
pub(crate) fn notification(message: &str) -> String {
    json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:shop", "Message": message })
        .to_string()
}

/// A notification, as Lambda gets it.
pub(crate) fn in_sns(message: &str) -> String {
    let notice =
        json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:shop", "Message": message });
    json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": notice }] }).to_string()
}
