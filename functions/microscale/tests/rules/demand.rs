//! From what a demand source says to a count.

use evenkeel_microscale::State;
use evenkeel_model::fleet::{self, Format};
use evenkeel_model::observed::Signal;
use evenkeel_model::report::Wait;

use super::{Story, counts};

/// Turns of `web`, whose demand is as said and whose value came two minutes ago in the first turn.
fn with_demand(story: &mut Story, demand: &str) {
    let text = format!(
        "name = \"r\"\ncluster = \"r\"\nhosts = {{ minimum = 1, steady = 1, maximum = 1 }}\n\
         pool = [{{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }}]\n\
         [[service]]\nname = \"web\"\npriority = 1\nscale_down_after = \"0s\"\ndemand = {{ metric = \"r/m\", {demand} }}\n"
    );
    story.fleet = fleet::read(&text, Format::Toml).unwrap();
}

#[test]
fn no_data_is_no_demand_where_the_file_says_so() {
    for (missing, last) in [("", "web 6"), (", missing = \"zero\"", "web 6 -> 0")] {
        let mut story = Story::new(2, 6, 0, 6.0);
        with_demand(&mut story, &format!("period = \"10s\", per_task = 1{missing}"));
        story.a_turn_passes();
        let at = story.seen.at;
        let web = "web".parse::<evenkeel_model::ServiceName>().unwrap();
        // Old, but it may be late.
        story.later(60);
        story.seen.demand.insert(web.clone(), Signal::Value { value: 6.0, at });
        assert_eq!(counts(&story.turn()), Vec::<String>::new());
        // A read that fails says nothing of the demand.
        story.later(60);
        story.seen.demand.insert(web.clone(), Signal::Unknown("AccessDenied".to_owned()));
        assert_eq!(counts(&story.turn()), Vec::<String>::new());
        story.later(1);
        story.seen.demand.insert(web, Signal::Value { value: 6.0, at });
        let steps = counts(&story.turn());
        assert_eq!(steps, if last == "web 6" { Vec::new() } else { vec![last.to_owned()] });
    }
}

#[test]
fn a_sum_is_of_its_period_or_per_second_as_the_file_says() {
    for (per, want) in [("period", 8), ("second", 1)] {
        let mut story = Story::new(2, 4, 0, 8.0);
        with_demand(&mut story, &format!("statistic = \"Sum\", per = \"{per}\", period = \"10s\", per_task = 1"));
        story.a_turn_passes();
        story.later(1);
        assert_eq!(counts(&story.turn()), [format!("web 4 -> {want}")]);
    }
}

#[test]
fn tracking_starts_one_task_where_none_runs_and_there_is_load() {
    let mut story = Story::new(2, 0, 0, 30.0);
    with_demand(&mut story, "period = \"1m\", target = 60");
    assert_eq!(counts(&story.turn()), ["web 0 -> 1"]);
    story = Story::new(2, 0, 0, 0.0);
    with_demand(&mut story, "period = \"1m\", target = 60");
    assert_eq!(counts(&story.turn()), Vec::<String>::new());
    story.seen.demand.insert("web".parse().unwrap(), Signal::Unknown("no data of metric r/m".to_owned()));
    let says = |wait: &Wait| matches!(wait, Wait::UnknownDemand { because, .. } if because.contains("no task runs"));
    let waits = story.turn().report.waits;
    assert!(waits.iter().any(says), "{waits:?}");
}

#[test]
fn a_value_from_the_future_is_not_believed_for_ever() {
    let mut story = Story::new(2, 3, 5, 9.0);
    let far = story.seen.at + std::time::Duration::from_secs(3_600);
    story.seen.demand.insert("web".parse().unwrap(), Signal::Value { value: 9.0, at: far });
    let outlook = story.turn();
    let told =
        |wait: &Wait| matches!(wait, Wait::UnknownDemand { because, .. } if because.contains("3600 s in the future"));
    assert!(outlook.report.waits.iter().any(told), "{:?}", outlook.report.waits);
}

#[test]
fn tasks_that_work_on_what_is_in_flight_are_kept_and_nobody_is_added_for_it() {
    for (waiting, in_flight, at_once, expect) in [
        (0.0, 0.0, 1, vec!["web 6 -> 0"]),
        (0.0, 4.0, 1, vec!["web 6 -> 4"]),
        (0.0, 4.0, 2, vec!["web 6 -> 2"]),
        // More than the tasks that run can have in hand.
        (0.0, 50.0, 1, vec![]),
        // 600 messages in a minute, ten a second by each task.
        (4_000.0, 800.0, 10_000, vec!["web 6 -> 8"]),
    ] {
        let mut story = Story::new(2, 6, 0, 6.0);
        let text = format!(
            "name = \"r\"\ncluster = \"r\"\nhosts = {{ minimum = 1, steady = 1, maximum = 1 }}\n\
             pool = [{{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }}]\n\
             [[service]]\nname = \"web\"\npriority = 1\nscale_down_after = \"0s\"\n\
             demand = {{ queue = \"jobs\", per_task = 10, drain_within = \"1m\", at_once = {at_once} }}\n"
        );
        story.fleet = fleet::read(&text, Format::Toml).unwrap();
        story.a_turn_passes();
        story.later(1);
        let backlog = Signal::Backlog { waiting, in_flight, at: story.seen.at };
        story.seen.demand.insert("web".parse().unwrap(), backlog);
        assert_eq!(counts(&story.turn()), expect, "{waiting} wait, {in_flight} are in flight, {at_once} at once");
    }
}

#[test]
fn a_tracked_metric_moves_the_count_only_where_it_is_off_by_more_than_the_tolerance() {
    for (value, expect) in [(63.0, vec![]), (57.0, vec![]), (72.0, vec!["web 6 -> 8"])] {
        let mut story = Story::new(2, 6, 0, value);
        with_demand(&mut story, "period = \"10s\", target = 60, tolerance = 0.1");
        assert_eq!(counts(&story.turn()), expect, "{value}");
    }
}

#[test]
fn an_alarm_adds_a_step_and_the_next_only_after_the_cooldown() {
    let story = |web: usize, before: Option<&Story>, seconds: i64| {
        let mut story = Story::new(2, web, 0, 0.0);
        let text = "name = \"r\"\ncluster = \"r\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
                    pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
                    [[service]]\nname = \"web\"\npriority = 1\n\
                    demand = { alarm = \"busy\", add = 2, cooldown = \"3m\" }\n";
        story.fleet = fleet::read(text, Format::Toml).unwrap();
        story.state = before.map_or_else(State::default, |before| before.state.clone());
        let firing = Signal::Alarm { firing: true, since: story.seen.at };
        story.seen.demand.insert("web".parse().unwrap(), firing);
        story.later(seconds);
        story
    };
    let mut first = story(6, None, 0);
    assert_eq!(counts(&first.turn()), ["web 6 -> 8"]);
    let mut soon = story(8, Some(&first), 60);
    assert_eq!(counts(&soon.turn()), Vec::<String>::new());
    let mut later = story(8, Some(&soon), 180);
    assert_eq!(counts(&later.turn()), ["web 8 -> 10"]);
}
