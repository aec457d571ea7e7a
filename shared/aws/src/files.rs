//! AWS Systems Manager: fleet files, and parameters that name images.

use std::io::Read;

use aws_smithy_types::base64;
use evenkeel_model::FleetName;
use evenkeel_turn::ports::{Answer, FleetFiles, PortError};
use flate2::read::ZlibDecoder;

use crate::Aws;
use crate::convert::all;
use crate::error::port_error;

/// How a parameter begins that only says where the file is: then come a digest, and the number of its parts.
const IN_PARTS: &str = "evenkeel:parts ";
/// More parts than the schema's largest file could have.
const MOST_PARTS: u32 = 100;
/// More text than the schema's largest file has.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

impl FleetFiles for Aws {
    /// A file that is too long for a parameter is deflated, encoded, and cut into parts, each a parameter of its own under a
    /// name that only this content has: so nobody ever reads half of one and half of another.
    async fn text(&self, fleet: &FleetName) -> Answer<String> {
        let name = format!("/evenkeel/fleets/{fleet}");
        let text = self.ssm_parameter(&name).await?;
        let Some(which) = text.strip_prefix(IN_PARTS) else { return Ok(text) };
        let wrong = |what: &str| PortError::Refused(format!("parameter {name}: {what}"));
        let (digest, count) = which.trim().split_once(' ').ok_or_else(|| wrong("it names no parts"))?;
        let count: u32 = count
            .parse()
            .ok()
            .filter(|count| (1..=MOST_PARTS).contains(count))
            .ok_or_else(|| wrong(&format!("{count} parts: expected 1 to {MOST_PARTS}")))?;
        let part = async |number| self.ssm_parameter(&format!("{name}/{digest}/{number}")).await;
        let packed = all((1..=count).map(part)).await?.concat();
        unpacked(&packed).map_err(|what| wrong(&what))
    }
}

/// The text of a file that was deflated (zlib) and encoded (base 64).
fn unpacked(packed: &str) -> Result<String, String> {
    let deflated = base64::decode(packed.trim()).map_err(|error| format!("its parts are not base 64: {error}"))?;
    let mut text = String::new();
    let read = ZlibDecoder::new(deflated.as_slice()).take(MOST_BYTES + 1).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > MOST_BYTES => Err(format!("more than {MOST_BYTES} bytes")),
        Ok(_) => Ok(text),
        Err(error) => Err(format!("its parts cannot be inflated: {error}")),
    }
}

impl Aws {
    pub(crate) async fn ssm_parameter(&self, name: &str) -> Answer<String> {
        let answer = self.ssm.get_parameter().name(name).send().await.map_err(port_error)?;
        let value = answer.parameter.and_then(|parameter| parameter.value);
        value.ok_or_else(|| PortError::NotFound(format!("parameter {name} has no value")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_said() {
        for (packed, says) in [("%", "base 64"), ("AAAA", "inflated")] {
            assert!(unpacked(packed).unwrap_err().contains(says), "{packed}");
        }
    }
}
