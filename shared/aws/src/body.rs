//! An item's body as an attribute: text, or deflated where it is large.

use std::io::{Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// DynamoDB charges by the kilobyte written, and an item ends at 400 KB (DynamoDB developer guide, "Quotas"). The JSON of
/// many hosts is a tenth when deflated; what is small stays readable in the console.
const LARGE: usize = 4_096;
/// No body is larger, whatever it says of itself.
const MOST: u64 = 64 << 20;

pub(crate) fn attribute_of(body: &str) -> AttributeValue {
    if body.len() <= LARGE {
        return AttributeValue::S(body.to_owned());
    }
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
    match deflated.write_all(body.as_bytes()).and_then(|()| deflated.finish()) {
        Ok(bytes) => AttributeValue::B(Blob::new(bytes)),
        // Writing into memory does not fail; were it to, the text is as good.
        Err(_) => AttributeValue::S(body.to_owned()),
    }
}

/// None where it is no body of ours.
pub(crate) fn body_of(attribute: &AttributeValue) -> Option<String> {
    if let Ok(bytes) = attribute.as_b() {
        let mut body = String::new();
        ZlibDecoder::new(bytes.as_ref()).take(MOST).read_to_string(&mut body).ok()?;
        return Some(body);
    }
    attribute.as_s().ok().cloned()
}
