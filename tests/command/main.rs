//! The `evenkeel` command as a person meets it: good files, bad files, exit codes, and that nothing else is done.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod examples;
mod page;
mod policy;

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn evenkeel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel")).args(arguments).output().unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn example(name: &str) -> String {
    format!("../../infra/fleets/{name}.toml")
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Fails with exit code 1, says each of `expected`, prints nothing else, and leaves the folder as it is.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], expected: &[&str]) {
    let before = std::fs::read_dir(folder).unwrap().count();
    let output = evenkeel(arguments);
    let complaint = complaint(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {complaint}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed a result");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), before, "{arguments:?} wrote a file");
    for expected in expected {
        assert!(complaint.contains(expected), "{arguments:?} says\n{complaint}\ninstead of {expected:?}");
    }
}

#[test]
fn the_example_fleets_are_fine() {
    for name in ["demo", "shop", "thousand"] {
        let output = evenkeel(&["check", &example(name)]);
        assert!(output.status.success(), "{}", complaint(&output));
    }
}

#[test]
fn a_bad_fleet_file_is_refused_with_the_place_of_every_problem() {
    let folder = TempDir::new().unwrap();
    let good = std::fs::read_to_string(example("shop")).unwrap();
    let twice = format!("{good}\n[disruption]\nmax_out = 2\n");
    let contradictory = good.replace("minimum = 3", "minimum = 9").replace("max_tasks = 40", "max_tasks = 1");
    let cases: [(&str, Vec<u8>, &[&str]); 7] = [
        ("empty.toml", Vec::new(), &["name"]),
        ("truncated.toml", good.as_bytes()[..good.find("shop-spot").unwrap_or(0) + 6].to_vec(), &["line "]),
        ("binary.toml", vec![0xff, 0x00, 0x80, 0x0a], &["UTF-8"]),
        ("twice.toml", twice.into_bytes(), &["line ", "disruption"]),
        ("contradictory.toml", contradictory.into_bytes(), &["minimum", "max_tasks", "line "]),
        ("unknown.toml", good.replace("step = 1", "stop = 1").into_bytes(), &["stop", "step", "line "]),
        ("half.json", b"{\"name\": \"x\",".to_vec(), &["line "]),
    ];
    for (name, bytes, expected) in cases {
        let path = write(&folder, name, &bytes);
        checked(folder.path(), &path, expected);
        refused(folder.path(), &["run", "--fleet", &path, "--duration", "1m"], expected);
        refused(folder.path(), &["plan", &path], expected);
    }
    checked(folder.path(), "missing.toml", &["missing.toml"]);
    checked(folder.path(), folder.path().to_str().unwrap(), &["not a file"]);
}

/// `check` says each of `expected` where `| less` shows it, and fails.
#[track_caller]
fn checked(folder: &Path, file: &str, expected: &[&str]) {
    let before = std::fs::read_dir(folder).unwrap().count();
    let output = evenkeel(&["check", file]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), complaint(&output).as_str()), (Some(1), ""), "{said}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), before, "checking {file} wrote a file");
    for expected in expected {
        assert!(said.contains(expected), "check {file} says\n{said}\ninstead of {expected:?}");
    }
}

#[test]
fn several_files_are_checked_at_once_and_machines_are_told_the_same() {
    let folder = TempDir::new().unwrap();
    let good = std::fs::read_to_string(example("shop")).unwrap();
    let bad = write(&folder, "bad.toml", good.replace("minimum = 3", "minimum = 9").as_bytes());
    let output = evenkeel(&["check", &example("shop"), &bad, &example("demo")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("fleet shop is fine: 3 pools, 2 services") && said.contains("fleet demo is fine: 1 pool, "),
        "{said}"
    );
    assert!(said.contains("bad.toml is not a usable fleet file"), "{said}");
    let json = evenkeel(&["check", "--json", &example("shop"), &bad]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["sound"], &json["files"][0]["fleet"]), (&false.into(), &"shop".into()));
    let problem = &json["files"][1]["problems"][0];
    assert!(problem["line"].as_u64().is_some_and(|line| line > 1) && problem["message"].is_string(), "{json}");
}

#[test]
fn json_in_a_file_that_ends_with_toml_is_one_hint() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "fleet.toml", b"{\n\"name\": \"x\",\n\"cluster\": \"y\"\n}\n");
    let output = evenkeel(&["check", &path]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.lines().count() == 2 && said.contains("rename it to end with .json"), "{said}");
    refused(folder.path(), &["plan", &path], &["rename it to end with .json"]);
}

#[test]
fn a_plan_says_that_it_is_simulated_and_an_interrupted_run_leaves_no_half_bar() {
    let plan = evenkeel(&["plan", &example("shop")]);
    assert!(String::from_utf8_lossy(&plan.stdout).starts_with("SIMULATED: fleet shop"));
    let json: serde_json::Value =
        serde_json::from_slice(&evenkeel(&["plan", &example("shop"), "--json"]).stdout).unwrap();
    assert!(json["source"].as_str().is_some_and(|source| source.starts_with("SIMULATED")), "{json}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let run = command.args(["run", "--duration", "90000h"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", complaint(&ended));
    assert!(
        complaint(&ended).ends_with("interrupted before the end, so there is no report\n"),
        "{}",
        complaint(&ended)
    );
}

#[test]
fn a_bad_demand_file_is_refused_before_anything_runs() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("report.json");
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty.csv", b"", "is empty"),
        ("columns.csv", b"time,load\n1,2\n", "expected a header"),
        ("nan.csv", b"timestamp,value\n2026-01-05 00:00:00,1\n2026-01-05 00:05:00,NaN\n", "line 3"),
        ("backwards.csv", b"timestamp,value\n2026-01-05 00:05:00,1\n2026-01-05 00:00:00,1\n", "line 3"),
        ("zero.csv", b"timestamp,value\n2026-01-05 00:00:00,0\n2026-01-05 00:05:00,0\n", "zero"),
    ];
    for (name, bytes, expected) in cases {
        let option = format!("web={}", write(&folder, name, bytes));
        let arguments = ["run", "--demand", &option, "--out", out.to_str().unwrap()];
        refused(folder.path(), &arguments, &[name, expected]);
    }
    refused(folder.path(), &["run", "--demand", "web=missing.csv"], &["missing.csv"]);
    refused(folder.path(), &["run", "--demand", "nobody=missing.csv"], &["no service nobody"]);
    refused(folder.path(), &["run", "--demand", "reports=missing.csv"], &["fills what is left"]);
    refused(folder.path(), &["run", "--duration", "whole"], &["--demand"]);
    refused(folder.path(), &["run", "--patch-at", "5m"], &["fleet demo has no [patch]"]);
}

#[test]
fn a_short_run_reports_in_every_form() {
    let folder = TempDir::new().unwrap();
    let json = evenkeel(&["run", "--duration", "10m", "--report", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    for field in [
        "seed",
        "policy",
        "simulated_seconds",
        "turns",
        "api_calls",
        "throttled",
        "services",
        "hosts",
        "losses",
        "rolls",
        "over_asked_task_seconds",
        "budget_violations",
        "invariant_violations",
    ] {
        assert!(report.get(field).is_some(), "the report has no {field}");
    }
    assert_eq!(report["simulated_seconds"], 600.0);
    let out = folder.path().join("report.html");
    let html = evenkeel(&["run", "--duration", "10m", "--report", "html", "--out", out.to_str().unwrap()]);
    assert!(html.status.success() && html.stdout.is_empty());
    let page = std::fs::read_to_string(out).unwrap();
    assert!(page.contains("<svg") && !page.contains("http://") && !page.contains("https://"));
    let text = evenkeel(&["run", "--duration", "10m"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("invariants violated: 0"));
}

#[test]
fn a_fleet_is_patched_on_the_way_and_the_report_says_how() {
    let fleet = example("shop");
    let run =
        |form: &str| evenkeel(&["run", "--fleet", &fleet, "--patch-at", "5m", "--duration", "45m", "--report", form]);
    let json = run("json");
    assert!(json.status.success(), "{}", complaint(&json));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let roll = &report["rolls"][0];
    assert_eq!((&roll["state"], &roll["hosts"]), (&"done".into(), &5.into()), "{roll}");
    for field in ["id", "replaced", "waves", "seconds", "floor_seconds", "max_out", "calls", "calls_per_host"] {
        assert!(!roll[field].is_null(), "the roll has no {field}");
    }
    assert!(report["calls_by_function"]["patchroll"]["aws"].as_u64().is_some_and(|calls| calls > 0));
    let text = run("text");
    let words = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        words.contains("5 of 5 hosts replaced in 5 waves") && words.contains("s that nobody could beat)"),
        "{words}"
    );
    let plan = evenkeel(&["plan", &fleet, "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert!(plan["patchroll"]["waves"].is_array(), "{plan}");
}

#[test]
fn a_plan_takes_wanted_demand_from_wherever_the_service_does() {
    let folder = TempDir::new().unwrap();
    let measured = std::fs::read_to_string(example("demo")).unwrap();
    let (before, rest) = measured.split_once("[service.demand]").unwrap();
    let (_, after) = rest.split_once("[[service]]").unwrap();
    let sent = format!("{before}[service.demand]\nmanual = true\nper_task = 50\n[[service]]{after}");
    let sent = write(&folder, "sent.toml", sent.as_bytes());
    let steps = |file: &str| {
        let plan = evenkeel(&["plan", file, "--want", "web=1150", "--json"]);
        let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
        plan["steps"].as_array().unwrap().iter().map(|planned| planned["step"].clone()).collect::<Vec<_>>()
    };
    let wanted = |steps: &[serde_json::Value]| {
        steps.iter().map(|step| &step["set-desired-count"]).find(|count| count["service"] == "web").cloned()
    };
    let by_metric = wanted(&steps(&example("demo"))).unwrap();
    assert_eq!(wanted(&steps(&sent)).unwrap()["to"], by_metric["to"]);
    refused(folder.path(), &["plan", &sent, "--want", "reports=3"], &["reports fills what is left"]);
}

#[test]
fn a_plan_says_what_a_turn_would_do() {
    let calm = evenkeel(&["plan", &example("demo"), "--want", "web=200"]);
    assert!(calm.status.success(), "{}", complaint(&calm));
    let more = evenkeel(&["plan", &example("demo"), "--want", "web=1150"]);
    let words = String::from_utf8_lossy(&more.stdout).into_owned();
    assert!(words.contains("web") && words.contains("->"), "{words}");
    let hosts = evenkeel(&["plan", &example("shop")]);
    assert!(String::from_utf8_lossy(&hosts.stdout).contains("A turn of backfill at"), "both functions plan");
    let json = evenkeel(&["plan", &example("demo"), "--want", "web=1150", "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(plan["steps"].as_array().is_some_and(|steps| !steps.is_empty()));
}

#[test]
fn a_type_sets_what_the_hosts_of_a_pool_cost() {
    let folder = TempDir::new().unwrap();
    let shop = example("shop");
    let run = |kind: &str| {
        let output = evenkeel(&["run", "--fleet", &shop, "--duration", "10m", "--type", kind, "--report", "json"]);
        assert!(output.status.success(), "{}", complaint(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["hosts"]["all_on_demand_cost_usd"].as_f64().unwrap()
    };
    assert!(run("base=m5.2xlarge") > 2.0 * run("base=m5.large"));
    for (kind, says) in
        [("base", "expected POOL=TYPE"), ("roof=m5.large", "no pool roof"), ("base=z9", "unknown instance type")]
    {
        refused(folder.path(), &["run", "--fleet", &shop, "--duration", "1m", "--type", kind], &[says]);
    }
}
