//! How a function's binary is linked: at a fixed address. The build script of every package with such a binary.
//!
//! A binary that can be anywhere has some 34,000 addresses of the AWS SDK's tables set right at each start, on two hundred
//! pages that are copied for it: a quarter of the time until the first poll. Libraries, heap and stack stay where chance puts
//! them.

fn main() {
    println!("cargo::rerun-if-changed=Cargo.toml");
    // Lambda's; other linkers have no such option.
    if std::env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|system| system == "linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
