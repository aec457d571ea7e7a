//! The example fleets in `infra/fleets` are good, say what the documentation says, and survive being written and read.

use std::time::Duration;

use evenkeel_model::Fleet;
use evenkeel_model::fleet::{Demand, Format, Purchase, Statistic, read};

const DEMO: &str = include_str!("../../../infra/fleets/demo.toml");
const SHOP: &str = include_str!("../../../infra/fleets/shop.toml");
const THOUSAND: &str = include_str!("../../../infra/fleets/thousand.toml");

fn fleet(text: &str) -> Fleet {
    read(text, Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_demo_has_two_services_on_three_reserved_hosts() {
    let demo = fleet(DEMO);
    assert_eq!((demo.hosts.minimum, demo.hosts.steady, demo.hosts.maximum), (3, 3, 3));
    assert!(demo.pools.iter().all(|pool| pool.purchase == Purchase::Reserved));
    assert_eq!(demo.beat, Duration::from_secs(10));
    let names = demo.services.iter().map(|service| (service.name.as_str(), service.priority, service.fill));
    assert_eq!(names.collect::<Vec<_>>(), [("web", 1, false), ("reports", 2, true)]);
    let Some(Demand::Metric(demand)) = &demo.services[0].demand else { panic!("web follows a metric") };
    assert_eq!((demand.source.metric.as_str(), demand.per_task), ("demo/RequestsPerSecond", 50.0));
}

#[test]
fn the_shop_has_three_pools_backfill_and_a_patch_window() {
    let shop = fleet(SHOP);
    let purchases = shop.pools.iter().map(|pool| pool.purchase).collect::<Vec<_>>();
    assert_eq!(purchases, [Purchase::Reserved, Purchase::Spot, Purchase::OnDemand]);
    let Some(Demand::Metric(demand)) = &shop.services[0].demand else { panic!("web follows a metric") };
    assert_eq!((demand.source.statistic, demand.source.period), (Statistic::Sum, Duration::from_secs(10)));
    let backfill = shop.backfill.as_ref().expect("the shop has backfill");
    assert_eq!(backfill.release_after, Duration::from_secs(600));
    let patch = shop.patch.as_ref().expect("the shop is patched");
    assert_eq!(patch.windows[0].to_string(), "Sun 02:00-05:00 Europe/London");
}

#[test]
fn the_examples_survive_toml_and_json() {
    for fleet in [DEMO, SHOP, THOUSAND].map(fleet) {
        let toml = fleet.to_toml().expect("a fleet is TOML");
        assert_eq!(read(&toml, Format::Toml), Ok(fleet.clone()), "{toml}");
        let json = fleet.to_json().expect("a fleet is JSON");
        assert_eq!(read(&json, Format::Json), Ok(fleet), "{json}");
    }
}

#[test]
fn a_fleet_fits_into_its_parameter() {
    // SSM parameters of the advanced tier hold 8 KB.
    for text in [DEMO, SHOP, THOUSAND] {
        assert!(text.len() <= 8 * 1024);
    }
}

#[test]
fn a_section_says_its_own_mode_and_the_others_go_by_the_fleets() {
    use evenkeel_model::FunctionName::{Backfill, Microscale, Patchroll};
    let of = |text: &str| [Microscale, Backfill, Patchroll].map(|function| fleet(text).observes(function));
    let shop = include_str!("../../../infra/fleets/shop.toml");
    assert_eq!(of(shop), [false, false, false], "who says nothing acts");
    let all = format!("mode = \"observe\"\n{shop}");
    assert_eq!(of(&all), [true, true, true]);
    assert_eq!(of(&all.replace("[patch]\n", "[patch]\nmode = \"act\"\n")), [true, true, false]);
    assert_eq!(of(&shop.replace("[backfill]\n", "[backfill]\nmode = \"observe\"\n")), [false, true, false]);
    assert_eq!(of(&format!("{shop}\n[microscale]\nmode = \"observe\"\n")), [true, false, false]);
    assert!(fleet(shop).is_backfilled() && !fleet(&all).is_backfilled());
}
