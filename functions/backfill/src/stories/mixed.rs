//! Groups that hold an on-demand base and spot hosts.

use evenkeel_model::fleet::Purchase;

use super::*;
use crate::view::view;

/// Three hosts of a base and two spot ones in one group, of which EC2 shows this many spot requests.
fn shop(requests: usize) -> Story {
    let mut story = Story::new();
    let (from, to) = ("\"spot\", purchase = \"spot\"", "\"spot\", purchase = \"mixed\"");
    story.fleet = file(
        &FILE
            .replace("{ name = \"base\", purchase = \"reserved\", auto_scaling_group = \"g-base\" },", "")
            .replace(from, to),
    );
    story.state = State::default();
    story.groups.retain(|group| group.name.as_str() != "g-base");
    story.group("g-spot").desired = 5;
    story.live();
    for host in story.hosts("g-spot").iter().rev().take(requests) {
        story.ask(host, SpotCode::Fulfilled);
    }
    story.minutes(3);
    story
}

impl Story {
    /// EC2 has a spot request for a host.
    fn ask(&mut self, host: &InstanceId, code: SpotCode) {
        self.requests.retain(|request| request.instance != *host);
        self.requests.push(SpotRequest { instance: host.clone(), code, at: self.now });
    }
}

#[test]
fn what_is_needed_does_not_depend_on_which_hosts_are_known_to_be_spot() {
    for requests in 0..=2 {
        let mut story = shop(requests);
        let done = story.turn();
        assert!(done.is_empty(), "{requests}: {done:?}");
        story.lose_spot();
        let done = story.minutes(1);
        assert_eq!(story.desired("g-burst"), 1, "{requests}: {done:?}");
        let words = format!("1 on-demand needed: 5 steady - {} reserved - {requests} spot", 4 - requests);
        assert!(has(&done, &words), "{requests}: {done:?}");
        story.spot_is_back();
        story.minutes(30);
        assert_eq!(story.desired("g-burst"), 0, "{requests}");
    }
}

#[test]
fn a_host_is_spot_from_its_first_spot_request_on_also_when_they_cannot_be_read() {
    let mut story = shop(2);
    story.requests.clear();
    story.unread.insert(Source::SpotRequests, "denied".to_owned());
    story.minutes(2);
    let seen = story.seen();
    let outlook = story.last.clone().unwrap();
    let given = Given { fleet: &story.fleet, state: &story.state, board: &story.board, now: story.now };
    let shown = view(&given, &seen, &outlook).hosts;
    let bought: Vec<Purchase> = shown.iter().map(|host| host.purchase).collect();
    let [base, spot] = [Purchase::Mixed, Purchase::Spot];
    assert_eq!(bought, [spot, spot, base, base, base]);
}

#[test]
fn a_request_that_is_marked_is_a_loss_without_any_event() {
    let mut story = shop(2);
    let host = story.hosts("g-spot").pop().unwrap();
    story.ask(&host, SpotCode::Marked);
    let done = story.minutes(1);
    assert!(has(&done, &format!("drain {host}")) && story.desired("g-burst") == 1, "{done:?}");
}

#[test]
fn a_spot_host_of_the_group_that_is_at_risk_is_replaced() {
    let mut story = shop(2);
    let host = story.hosts("g-spot").pop().unwrap();
    story.board.notices.add(&host, NoticeKind::AtRisk, story.now);
    let done = story.minutes(1);
    assert_eq!(story.desired("g-burst"), 1, "{done:?}");
}
