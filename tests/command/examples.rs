//! Every example in the help of a command that needs no account works as it is printed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::evenkeel;

/// What `--help` of a command prints below "Examples", without what is said beside them.
fn examples(command: &[&str]) -> Vec<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_evenkeel")).args(command).arg("--help").env("COLUMNS", "1000").output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let lines = help.lines().skip_while(|line| !line.starts_with("Example")).skip(1);
    let lines = lines.take_while(|line| line.starts_with("  evenkeel"));
    lines.map(|line| line.trim().split("    ").next().unwrap_or_default().trim().to_owned()).collect()
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = String::from_utf8(evenkeel(&["--help"]).stdout).unwrap();
    let listed =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// A folder with what the examples name, and the `evenkeel` that they call.
fn folder() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let infra = Path::new("../../infra").canonicalize().unwrap();
    std::os::unix::fs::symlink(infra, folder.path().join("infra")).unwrap();
    let requests: String = (0..12).map(|hour| format!("2026-01-05 {hour:02}:00:00,{}\n", 100 + hour)).collect();
    std::fs::write(folder.path().join("requests.csv"), format!("timestamp,value\n{requests}")).unwrap();
    let seen = r#"{"at":"2026-01-05T10:00:00Z","hosts":[],"tasks":[],"services":[],"demand":{}}"#;
    std::fs::write(folder.path().join("seen.json"), seen).unwrap();
    std::fs::create_dir_all(folder.path().join(".local/share/bash-completion/completions")).unwrap();
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    let path = format!("{}:/usr/bin:/bin", binary.parent().unwrap().display());
    (folder, path)
}

fn shell(line: &str) -> (TempDir, Command) {
    let (folder, path) = folder();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("exec {line}")])
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("PATH", path);
    (folder, command)
}

/// Those that are tried on a deployment, by the end-to-end stories.
const LIVE: [&str; 12] =
    ["status", "why", "decisions", "scorecard", "roll", "hold", "release", "retry", "push", "page", "look", "init"];

#[test]
fn every_command_has_an_example() {
    let commands = commands();
    assert!(
        commands.len() > LIVE.len() && LIVE.iter().all(|live| commands.iter().any(|name| name == live)),
        "{commands:?}"
    );
    for command in &commands {
        assert!(!examples(&[command]).is_empty(), "`evenkeel {command} --help` has no example");
    }
    for verb in ["plan", "start", "pause", "resume", "abort", "status"] {
        assert!(!examples(&["roll", verb]).is_empty(), "`evenkeel roll {verb} --help` has no example");
    }
}

#[test]
fn examples_that_need_no_account_work_as_they_are_printed() {
    let local: Vec<String> = commands().into_iter().filter(|name| !LIVE.contains(&name.as_str())).collect();
    let mut lines: Vec<String> = local.iter().flat_map(|command| examples(&[command])).collect();
    lines.extend(
        examples(&[]).into_iter().filter(|line| !LIVE.iter().any(|live| line.starts_with(&format!("evenkeel {live}")))),
    );
    lines.retain(|line| !line.contains(" --live"));
    assert!(lines.len() > 10, "{lines:?}");
    let serves = |line: &&String| *line == "evenkeel" || line.starts_with("evenkeel serve");
    for line in lines.iter().filter(|line| !serves(line)) {
        let (_folder, mut command) = shell(line);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "`{line}` ends with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    for line in lines.iter().filter(serves) {
        let (_folder, mut command) = shell(line);
        let mut serving = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(serving.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let _it_ends_by_itself_where_its_port_is_taken = serving.kill();
        let complaint = String::from_utf8(serving.wait_with_output().unwrap().stderr).unwrap();
        let taken = complaint.contains("is not free");
        assert!(
            said.starts_with("Even Keel is on http://127.0.0.1:") || taken,
            "`{line}` says {said:?}, {complaint:?}"
        );
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(evenkeel(&["completions", shell]).stdout).unwrap();
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not complete {command}");
        }
    }
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("man");
    assert!(evenkeel(&["man", "--out", out.to_str().unwrap()]).status.success());
    for command in commands() {
        let page = std::fs::read_to_string(out.join(format!("evenkeel-{command}.1"))).unwrap();
        assert!(page.contains("EXTRA") && page.contains("evenkeel"), "{command}: {page}");
    }
    assert!(String::from_utf8(evenkeel(&["man"]).stdout).unwrap().starts_with(".ie"));
}

#[test]
fn without_an_sdk_commands_for_a_deployment_say_how_to_build_one_that_has_it() {
    if cfg!(feature = "aws") {
        return;
    }
    let fleet = "../../infra/fleets/shop.toml";
    for line in [&["status"][..], &["look", fleet], &["plan", fleet, "--live"], &["init"]] {
        let output = evenkeel(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(said.contains("cargo install --locked --path infra/evenkeel --features aws"), "{line:?}: {said}");
    }
}
