//! Load balancers: how targets are.

use evenkeel_model::TargetGroup;
use evenkeel_model::templates::Health;
use evenkeel_turn::ports::{PortError, ReadTargets};

use crate::fake::{Fake, Reply, id};

const WEB: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/1";

fn target(target: &str, state: &str) -> String {
    format!(
        "<member><Target><Id>{target}</Id><Port>80</Port></Target>\
         <TargetHealth><State>{state}</State></TargetHealth></member>"
    )
}

#[tokio::test]
async fn targets_of_all_groups_are_told_with_their_health() {
    let states = [
        ("i-1", "healthy", Health::Healthy),
        ("i-2", "initial", Health::Initial),
        ("i-3", "unhealthy", Health::Unhealthy),
        ("i-4", "draining", Health::Draining),
        ("i-5", "unused", Health::Other),
        ("i-6", "a-new-word", Health::Other),
    ];
    let fake = Fake::new(move |asked| {
        let mut members: String = states.iter().map(|(id, state, _)| target(id, state)).collect();
        members.push_str(&target("10.0.0.7", "healthy"));
        assert!(asked.text("TargetGroupArn").starts_with("arn:"));
        Reply::Xml(format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"))
    });
    let groups: [TargetGroup; 2] = [id(WEB), id("arn:other")];
    let targets = fake.aws().targets(&groups).await.unwrap();
    assert_eq!(fake.calls(), 2);
    assert_eq!(targets.len(), 12, "an address is no host");
    let expect: Vec<_> = states.iter().map(|(instance, _, health)| (id(instance), *health)).collect();
    let found: Vec<_> = targets[..6].iter().map(|target| (target.instance.clone(), target.health)).collect();
    assert_eq!(found, expect);
    assert_eq!((&targets[0].group, &targets[6].group), (&groups[0], &groups[1]));
    let fake = Fake::new(|_| Reply::Error("TargetGroupNotFound", "One or more target groups not found", 400));
    assert!(matches!(fake.aws().targets(&groups).await, Err(PortError::NotFound(_))));
}
