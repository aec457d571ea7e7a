//! Prints the JSON schema of the fleet file:
//! `cargo run -p evenkeel-model --example schema > infra/fleet.schema.json`

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &evenkeel_model::fleet::schema())?;
    writeln!(out)
}
