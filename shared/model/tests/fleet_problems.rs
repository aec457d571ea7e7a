//! What is wrong with a fleet file is said all at once, each with its line, its path, and what was expected.

use evenkeel_model::fleet::{Format, read};

/// A small file without problems; the cases below change a line or two of it.
const GOOD: &str = r#"name = "shop"
cluster = "shop"
beat = "10s"
[hosts]
minimum = 3
steady = 5
maximum = 7
[[pool]]
name = "base"
purchase = "reserved"
auto_scaling_group = "shop-base"
[[pool]]
name = "burst"
purchase = "on-demand"
auto_scaling_group = "shop-burst"
[backfill]
alarms = ["cpu-high"]
[[service]]
name = "web"
priority = 1
min_tasks = 2
max_tasks = 40
demand = { metric = "shop/Requests", period = "10s", per_task = 50 }
headroom_tasks = 2
[[service]]
name = "reports"
priority = 2
fill = true
[patch]
windows = ["Sun 02:00-05:00 Europe/London"]
wave = 1
[disruption]
max_out = 1
"#;

/// The problems of a text, one a line.
fn problems(text: impl AsRef<[u8]>, format: Format) -> Vec<String> {
    match read(text, format) {
        Ok(fleet) => vec![format!("no problem: {}", fleet.name)],
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

/// [`GOOD`] with some of its text exchanged; each must occur exactly once.
fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from:?} is to occur once");
        text.replace(from, to)
    })
}

#[track_caller]
fn check(changes: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(problems(changed(changes), Format::Toml), expected, "{changes:?}");
}

#[track_caller]
fn check_json(text: &str, expected: &[&str]) {
    assert_eq!(problems(text, Format::Json), expected, "{text}");
}

#[test]
fn a_good_file_has_no_problem() {
    assert_eq!(problems(GOOD, Format::Toml), ["no problem: shop"]);
}

#[test]
fn everything_is_reported_at_once_and_by_line() {
    check(
        &[
            ("name = \"shop\"\n", "name = \"my shop\"\n"),
            ("minimum = 3", "minimum = -3"),
            ("purchase = \"on-demand\"", "purchase = \"ondemand\"\nprice = 1"),
            ("max_tasks = 40", "max_tasks = 1"),
            ("per_task = 50", "per_task = \"50\""),
            ("wave = 1", "drain_timeout = 90"),
        ],
        &[
            "line 1: name: expected a fleet name: 1 to 64 letters, digits, hyphens or underscores, found the text \"my shop\"",
            "line 5: hosts.minimum: expected a whole number from 1 to 5000, found the number -3",
            "line 14: pool[1].purchase: expected one of \"reserved\", \"spot\", \"mixed\", \"on-demand\", found the text \"ondemand\"",
            "line 15: pool[1].price: unknown field: expected one of name, purchase, auto_scaling_group, units",
            "line 23: service[0].max_tasks: 1 is less than min_tasks, which is 2",
            "line 24: service[0].demand.per_task: expected a positive number (1e-9 to 1e15), found the text \"50\"",
            "line 32: patch.drain_timeout: expected a duration such as \"90s\" or \"10m\", found the number 90",
        ],
    );
}

#[test]
fn bytes_that_are_no_text_are_told_apart() {
    for (bytes, expected) in [
        (&b""[..], "line 1: the file is empty: expected at least name, [hosts] and one [[pool]]"),
        (b" \n\n", "line 1: the file is empty: expected at least name, [hosts] and one [[pool]]"),
        (b"name = \"a\"\nbeat = \"\xff\"\n", "line 2: expected UTF-8 text, found the byte 0xff at offset 19"),
        (b"name = \"a\"\nbeat = \"\xe2\x82", "line 2: expected UTF-8 text, found the byte 0xe2 at offset 19"),
        (&[b'#'; 262_145], "line 1: the file has 262145 bytes: expected at most 262144"),
    ] {
        assert_eq!(problems(bytes, Format::Toml), [expected]);
        assert_eq!(problems(bytes, Format::Json), [expected]);
    }
}

#[test]
fn toml_that_is_none_is_reported_with_its_line() {
    check(
        &[("beat = \"10s\"", "beat = 10s")],
        &["line 3: this is not TOML: string values must be quoted, expected literal string"],
    );
    check(&[("beat = \"10s\"", "beat = \"10s")], &["line 3: this is not TOML: invalid basic string, expected `\"`"]);
    check(&[("max_out = 1\n", "max_out")], &["line 33: this is not TOML: key with no value, expected `=`"]);
}

#[test]
fn a_key_given_twice_hides_nothing_else() {
    check(
        &[
            ("beat = \"10s\"", "beat = \"10s\"\nbeat = \"20s\""),
            ("steady = 5", "steady = 2"),
            ("[disruption]\nmax_out = 1", "[hosts]"),
        ],
        &[
            "line 4: the key \"beat\" is given a second time",
            "line 7: hosts.steady: 2 is less than minimum, which is 3",
            "line 33: the key \"hosts\" is given a second time",
        ],
    );
}

#[test]
fn what_is_missing_is_reported_at_its_table() {
    check(&[("steady = 5\n", "")], &["line 4: hosts.steady: missing: expected a whole number from 1 to 5000"]);
    check(
        &[("purchase = \"on-demand\"\n", "")],
        &["line 12: pool[1].purchase: missing: expected one of \"reserved\", \"spot\", \"mixed\", \"on-demand\""],
    );
    let nothing_but_a_beat = [
        "line 1: hosts: missing: expected a table [hosts]",
        "line 1: name: missing: expected a fleet name: 1 to 64 letters, digits, hyphens or underscores",
        "line 1: pool: missing: expected a list of tables, each under [[pool]]",
    ];
    let mut found = problems("beat = \"1m\"\n", Format::Toml);
    found.sort();
    assert_eq!(found, nothing_but_a_beat);
}

#[test]
fn unknown_fields_come_with_a_guess() {
    check(&[("min_tasks", "min_task")], &["line 21: service[0].min_task: unknown field: did you mean \"min_tasks\"?"]);
    check(&[("[backfill]", "[back_fill]")], &["line 16: back_fill: unknown field: did you mean \"backfill\"?"]);
    check(
        &[("maximum = 7", "maximum = 7\nbeat = \"10s\"")],
        &["line 8: hosts.beat: unknown field here: it belongs at the top of the file, above the first table"],
    );
    check(
        &[("max_out = 1", "max_out = 1\n\"a.b\\u0007\" = 1")],
        &["line 34: disruption.\"a.b\\u{7}\": unknown field: expected one of max_out"],
    );
}

#[test]
fn wrong_types_say_what_was_found() {
    for (value, found) in [
        ("\"3\"", "the text \"3\""),
        ("3.0", "the number 3.0"),
        ("0", "the number 0"),
        ("4294967296", "the number 4294967296"),
        ("1_000_000_000_000_000_000_000_000_000_000_000_000_000_000", "the number 1e42"),
        ("nan", "the number NaN"),
        ("-inf", "the number -inf"),
        ("true", "true"),
        ("2026-11-22", "the date or time 2026-11-22"),
        ("[3]", "a list"),
        ("{ a = 3 }", "a table"),
    ] {
        let expected = format!("line 7: hosts.maximum: expected a whole number from 1 to 5000, found {found}");
        check(&[("maximum = 7", &format!("maximum = {value}"))], &[&expected]);
    }
    for value in ["0", "-1", "nan", "inf", "1e16"] {
        let found = value.replace("nan", "NaN");
        let expected = format!(
            "line 23: service[0].demand.per_task: expected a positive number (1e-9 to 1e15), found the number {found}"
        );
        check(&[("per_task = 50", &format!("per_task = {value}"))], &[&expected]);
    }
    for value in ["0", "1.1", "nan", "-1"] {
        let found = value.replace("nan", "NaN");
        let expected =
            format!("line 2: api_share: expected a number from 0.01 to 1, such as 0.2, found the number {found}");
        check(&[("name = \"shop\"\n", &format!("name = \"shop\"\napi_share = {value}\n"))], &[&expected]);
    }
    check(
        &[
            ("[[pool]]\nname = \"base\"", "[pool]\nname = \"base\""),
            ("[[pool]]\nname = \"burst\"", "[other]\nname = \"burst\""),
        ],
        &[
            "line 8: pool: expected a list of tables, each under [[pool]], found a table",
            "line 12: other: unknown field: expected one of name, cluster, beat, api_share, mode, microscale, hosts, pool, backfill, service, patch, disruption",
        ],
    );
}

#[test]
fn durations_and_windows_say_what_is_wrong_with_them() {
    for (beat, expected) in [
        ("soon", "expected a duration such as \"90s\" or \"10m\", found \"soon\""),
        ("10", "expected a duration with its unit, such as \"90s\" or \"10m\", found \"10\""),
        ("-10s", "a duration cannot be negative: expected one such as \"90s\" or \"10m\", found \"-10s\""),
        (
            "1 month",
            "days and longer units differ in length: expected hours, minutes or seconds, such as \"24h\", found \"1 month\"",
        ),
        ("4s", "4s is too short: expected 5s to 1m"),
        ("61s", "1m 1s is too long: expected 5s to 1m"),
        ("7s", "7s is no whole part of a minute: expected 5s, 6s, 10s, 12s, 15s, 20s, 30s or 1m"),
        ("7500ms", "7s 500ms is no whole part of a minute: expected 5s, 6s, 10s, 12s, 15s, 20s, 30s or 1m"),
    ] {
        let line = format!("line 3: beat: {expected}");
        check(&[("beat = \"10s\"", &format!("beat = \"{beat}\""))], &[&line]);
    }
    check(
        &[("period = \"10s\"", "period = \"15s\"")],
        &[
            "line 23: service[0].demand.period: CloudWatch has no period of 15s: expected 1s, 5s, 10s, 20s, 30s or whole minutes up to 24h",
        ],
    );
    check(
        &[(
            "[\"Sun 02:00-05:00 Europe/London\"]",
            "[\n\"Sun 02:00-05:00 UTC\",\n\"Sun 02:00-05:00 UTC\",\n\"Sun 2-5 Europe/Lundon\"]",
        )],
        &[
            "line 33: patch.windows[2]: \"2-5\" are not hours: expected from-to such as 02:00-05:00, from 00:00 to 24:00",
        ],
    );
}

#[test]
fn hosts_are_in_order() {
    check(&[("steady = 5", "steady = 2")], &["line 6: hosts.steady: 2 is less than minimum, which is 3"]);
    check(&[("maximum = 7", "maximum = 4")], &["line 7: hosts.maximum: 4 is less than steady, which is 5"]);
    check(
        &[("minimum = 3", "minimum = 9"), ("maximum = 7", "maximum = 6")],
        &[
            "line 6: hosts.steady: 5 is less than minimum, which is 9",
            "line 7: hosts.maximum: 6 is less than minimum, which is 9",
        ],
    );
}

#[test]
fn names_and_groups_come_once() {
    check(
        &[("\"burst\"", "\"base\""), ("\"shop-burst\"", "\"shop-base\""), ("\"reports\"", "\"web\"")],
        &[
            "line 13: pool[1].name: \"base\" is pool[0].name already: every pool needs a name of its own",
            "line 15: pool[1].auto_scaling_group: \"shop-base\" is pool[0].auto_scaling_group already: a group belongs to one pool",
            "line 26: service[1].name: \"web\" is service[0].name already: list every ECS service once",
        ],
    );
    check(
        &[("[\"cpu-high\"]", "[\"a\", \"b\", \"a\"]")],
        &["line 17: backfill.alarms[2]: \"a\" is in the list already"],
    );
}

#[test]
fn services_have_a_cluster_and_either_demand_or_fill() {
    check(
        &[("cluster = \"shop\"\n", "")],
        &["line 17: service: services need a cluster: expected cluster = \"NAME\" at the top of the file"],
    );
    check(
        &[("fill = true", "")],
        &["line 25: service[1]: no demand: expected demand = { … }, or fill = true to take every hole that is left"],
    );
    check(
        &[("fill = true", "fill = true\ndemand = { manual = true, per_task = 1 }")],
        &[
            "line 28: service[1].fill: the service also has a demand: expected demand, or fill = true to take every hole that is left",
        ],
    );
}

#[test]
fn fill_comes_after_everything_else_and_keeps_no_headroom() {
    check(
        &[("priority = 2", "priority = 1")],
        &[
            "line 27: service[1].priority: a fill service comes after all others: expected more than 1, the priority of \"web\", found 1",
        ],
    );
    check(
        &[("fill = true", "fill = true\nheadroom_tasks = 1")],
        &[
            "line 29: service[1].headroom_tasks: a fill service takes what is left and is kept no room free: expected 0, or leave it out",
        ],
    );
    check(
        &[("max_tasks = 40", "max_tasks = 2"), ("headroom_tasks = 2", "headroom_tasks = 3")],
        &["line 24: service[0].headroom_tasks: 3 is more than max_tasks, which is 2: it could never be used"],
    );
}

#[test]
fn a_demand_has_one_source() {
    let demand = |given: &'static str| [("{ metric = \"shop/Requests\", period = \"10s\", per_task = 50 }", given)];
    let cases = [
        (
            "{ per_task = 50 }",
            "service[0].demand: expected one of metric, queue, manual, alarm: it says where the demand comes from",
        ),
        (
            "{ metric = \"a/b\", queue = \"q\" }",
            "service[0].demand: expected one source of demand, found metric and queue",
        ),
        (
            "{ metric = \"a/b\", per_task = 1, target = 60 }",
            "service[0].demand: expected per_task (tasks = value / per_task) or target (tracking), found both",
        ),
        (
            "{ metric = \"a/b\" }",
            "service[0].demand: expected per_task (tasks = value / per_task) or target (tracking), found neither",
        ),
        (
            "{ metric = \"Requests\", per_task = 1 }",
            "service[0].demand.metric: expected a metric as namespace/name, found \"Requests\" without one of the two",
        ),
        ("{ manual = false, per_task = 1 }", "service[0].demand.manual: expected true, found false"),
        (
            "{ queue = \"q\", per_task = 1 }",
            "service[0].demand.drain_within: missing: expected a duration such as \"90s\" or \"10m\"",
        ),
        (
            "{ alarm = \"a\", add = 0 }",
            "service[0].demand.add: expected a whole number from 1 to 5000, found the number 0",
        ),
        (
            "{ metric = \"a/b\", target = 60, tolerance = 2 }",
            "service[0].demand.tolerance: expected a number from 0 to 1, such as 0.1, found the number 2",
        ),
        (
            "{ metric = \"a/b\", per_task = 1, dimensions = { LoadBalancer = 1 } }",
            "service[0].demand.dimensions.LoadBalancer: expected a text of 1 to 1024 characters, found the number 1",
        ),
        ("50", "service[0].demand: expected a table, found the number 50"),
    ];
    for (given, expected) in cases {
        check(&demand(given), &[&format!("line 23: {expected}")]);
    }
}

#[test]
fn backfill_can_start_hosts() {
    for other in ["\"spot\"", "\"mixed\""] {
        check(
            &[("\"on-demand\"", other)],
            &["line 16: backfill: backfill starts on-demand hosts: expected a [[pool]] with purchase = \"on-demand\""],
        );
    }
    check(
        &[("maximum = 7", "maximum = 5")],
        &["line 17: backfill.alarms: alarms can add no host, because hosts.steady and hosts.maximum are both 5: \
           expected a larger maximum, or no alarms"],
    );
}

#[test]
fn a_roll_can_start_a_wave() {
    check(
        &[("minimum = 3", "minimum = 5")],
        &[
            "line 29: patch.strategy: terminate-first can take out no host, because hosts.steady and hosts.minimum are both 5: \
           expected a smaller minimum, launch-first, or borrow = true",
        ],
    );
    check(&[("minimum = 3", "minimum = 5"), ("wave = 1", "borrow = true")], &["no problem: shop"]);
    // Where all pools are on-demand and backfill sets their capacity, launch-first is no way out.
    let on_demand = ("\"reserved\"", "\"on-demand\"");
    for (strategy, line) in [("wave = 2", 29), ("strategy = \"launch-first\"", 31)] {
        let says = format!(
            "line {line}: patch.strategy: on-demand pools beside [backfill] are rolled terminate-first, which can take out no \
             host, because hosts.steady and hosts.minimum are both 5: expected a smaller minimum, or borrow = true"
        );
        let changes =
            [on_demand, ("minimum = 3", "minimum = 5"), ("wave = 1", strategy), ("max_out = 1", "max_out = 2")];
        check(&changes, &[&says]);
    }
    check(&[("minimum = 3", "minimum = 5"), ("wave = 1", "strategy = \"launch-first\"")], &["no problem: shop"]);
    check(
        &[("maximum = 7", "maximum = 5"), ("wave = 1", "strategy = \"launch-first\""), ("[\"cpu-high\"]", "[]")],
        &[
            "line 31: patch.strategy: launch-first can start no host, because hosts.steady and hosts.maximum are both 5: \
           expected a larger maximum, or terminate-first",
        ],
    );
    check(
        &[("[backfill]\nalarms = [\"cpu-high\"]\n", ""), ("wave = 1", "borrow = true")],
        &["line 29: patch.borrow: a roll borrows hosts from backfill: expected a table [backfill], or leave it out"],
    );
}

#[test]
fn waves_and_budget_agree() {
    check(&[("wave = 1", "wave = 2")], &["line 31: patch.wave: 2 hosts are more than disruption.max_out, which is 1"]);
    check(&[("wave = 1", "wave = \"10%\"")], &["no problem: shop"]);
    for wave in ["\"101%\"", "\"10\"", "0"] {
        let found = if wave == "0" { "the number 0".to_owned() } else { format!("the text {wave}") };
        let expected = format!(
            "line 31: patch.wave: expected a number of hosts from 1 to 5000, or a share from \"1%\" to \"100%\", found {found}"
        );
        check(&[("wave = 1", &format!("wave = {wave}"))], &[&expected]);
    }
    check(
        &[("max_out = 1", "max_out = 8")],
        &["line 33: disruption.max_out: 8 is more than hosts.maximum, which is 7"],
    );
}

#[test]
fn a_bake_fits_into_user_data() {
    let command = "x".repeat(7_000);
    let bake =
        format!("wave = 1\nbake = {{ base_image_parameter = \"/base\", commands = [\"{command}\", \"{command}\"] }}");
    check(
        &[("wave = 1", &bake)],
        &["line 32: patch.bake.commands: 14000 bytes in all: expected at most 12288, what user data holds"],
    );
    check(
        &[("wave = 1", "wave = 1\nbake = { base_image_parameter = \"a b\", keep = 0 }")],
        &[
            "line 32: patch.bake.base_image_parameter: expected the name of an SSM parameter, such as \"/aws/service/ecs/…/image_id\", found \"a b\"",
            "line 32: patch.bake.keep: expected a whole number from 1 to 50, found the number 0",
        ],
    );
}

#[test]
fn lists_have_limits() {
    let pools =
        (0..51).map(|n| format!("[[pool]]\nname = \"p{n}\"\npurchase = \"spot\"\nauto_scaling_group = \"g{n}\"\n"));
    let text =
        format!("name = \"a\"\nhosts = {{ minimum = 1, steady = 1, maximum = 1 }}\n{}", pools.collect::<String>());
    assert_eq!(problems(text, Format::Toml), ["line 3: pool: expected at most 50, found 51"]);
    let text = "name = \"a\"\npool = []\nhosts = { minimum = 1, steady = 1, maximum = 1 }";
    assert_eq!(problems(text, Format::Toml), ["line 2: pool: expected at least 1, found 0"]);
}

#[test]
fn only_so_many_problems_are_listed() {
    let unknown = (0..250).map(|n| format!("unknown{n} = 1\n")).collect::<String>();
    let problems = read(format!("{unknown}{GOOD}"), Format::Toml).expect_err("unknown fields are refused");
    assert_eq!((problems.iter().count(), problems.left_out()), (200, 50));
    assert!(problems.to_string().ends_with("\nand 50 more problems"), "{problems}");
}

#[test]
fn deep_and_long_files_do_no_harm() {
    // Any of these would overflow the stack of a reader that follows them blindly.
    let levels = 100_000;
    for text in [
        format!("a = {}", "[".repeat(levels)),
        format!("a = {}", "{a=".repeat(levels / 2)),
        format!("{} = 1", vec!["a"; levels].join(".")),
        format!("[{}]", vec!["a"; levels].join(".")),
        "[".repeat(levels),
    ] {
        assert!(read(&text, Format::Toml).is_err());
    }
    for text in ["[".repeat(levels), "{\"a\":".repeat(levels / 3)] {
        assert_eq!(problems(&text, Format::Json), ["line 1: this is not JSON: maximum nesting depth exceeded"]);
    }
    assert_eq!(
        problems(format!("{GOOD}x = {}{}\n", "[".repeat(20), "]".repeat(20)), Format::Toml),
        [
            "line 34: disruption.x: unknown field: expected one of max_out",
            "line 34: disruption.x[0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested deeper than 16 levels",
        ]
    );
}

#[test]
fn json_is_strict_and_has_lines_too() {
    let good = r#"{"name": "a", "hosts": {"minimum": 1, "steady": 1, "maximum": 1},
        "pool": [{"name": "p", "purchase": "spot", "auto_scaling_group": "g"}]}"#;
    check_json(good, &["no problem: a"]);
    check_json(&good.replace("\"spot\"", "\"spot\","), &["line 2: this is not JSON: unexpected token in object"]);
    check_json(&good.replace("}]}", "}],}"), &["line 2: this is not JSON: trailing commas are not allowed"]);
    check_json(
        &good.replace("\"pool\"", "// pools\n\"pool\""),
        &["line 2: this is not JSON: comments are not allowed"],
    );
    check_json(&format!("{good} {good}"), &["line 2: this is not JSON: text cannot contain more than one JSON value"]);
    check_json(
        &good.replace("\"steady\": 1", "\"steady\": 1e0, \"steady\": 2").replace("\"spot\"", "null"),
        &[
            "line 1: hosts.steady: expected a whole number from 1 to 5000, found the number 1.0",
            "line 1: hosts: the key \"steady\" is given a second time",
            "line 2: pool[0].purchase: expected one of \"reserved\", \"spot\", \"mixed\", \"on-demand\", found null",
        ],
    );
    check_json("[]", &["line 1: expected a table, found a list"]);
    check_json(
        "{\"ü\": \"ü\", \"name\"",
        &["line 1: this is not JSON: expected colon after the string or word in object property"],
    );
}

#[test]
fn lines_and_columns_are_those_of_an_editor() {
    let text = changed(&[("max_tasks = 40", "max_tasks = 1 # größer")]);
    let problems = read(text.replace('\n', "\r\n"), Format::Toml).expect_err("1 is less than min_tasks");
    let places =
        problems.iter().map(|problem| (problem.line, problem.column, problem.path.as_str())).collect::<Vec<_>>();
    assert_eq!(places[0], (22, 13, "service[0].max_tasks"));
}

#[test]
fn the_format_of_a_nameless_text_is_seen() {
    assert_eq!(
        [Format::of(b"\n {\"name\": 1}"), Format::of(b"name = 1"), Format::of(b"")],
        [Format::Json, Format::Toml, Format::Toml]
    );
}

#[test]
fn metrics_of_aws_have_a_minute_and_dimensions() {
    let demand = "demand = { metric = \"shop/Requests\", period = \"10s\", per_task = 50 }";
    let with =
        |fields: &str| format!("demand = {{ metric = \"AWS/ApplicationELB/RequestCount\", {fields}, per_task = 50 }}");
    let of = |fields: &str| problems(changed(&[(demand, &with(fields))]), Format::Toml);
    let dimensions = "dimensions = { LoadBalancer = \"app/shop/1\" }";
    let said = of(&format!("period = \"10s\", {dimensions}"));
    assert!(said.len() == 1 && said[0].contains("period") && said[0].contains("1m or longer, found 10s"), "{said:?}");
    let said = of("period = \"1m\"");
    assert!(said.len() == 1 && said[0].contains("expected dimensions"), "{said:?}");
    assert_eq!(of(&format!("period = \"1m\", missing = \"zero\", {dimensions}")), ["no problem: shop"]);
    let said = of(&format!("period = \"1m\", per = \"second\", {dimensions}"));
    assert!(said.len() == 1 && said[0].contains("Sum and SampleCount only"), "{said:?}");
}

#[test]
fn a_sum_without_its_unit_is_remarked_on() {
    let demand = "demand = { metric = \"shop/Requests\", period = \"10s\", per_task = 50 }";
    let remarks = |fields: &str| {
        let with = format!("demand = {{ metric = \"shop/Requests\", period = \"10s\", per_task = 50{fields} }}");
        read(changed(&[(demand, &with)]), Format::Toml).unwrap().remarks()
    };
    assert_eq!(remarks(", statistic = \"Sum\"").len(), 1);
    for fine in ["", ", statistic = \"Sum\", per = \"second\"", ", statistic = \"SampleCount\", per = \"period\""] {
        assert_eq!(remarks(fine), Vec::<String>::new());
    }
}
