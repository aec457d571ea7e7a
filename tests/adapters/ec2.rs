//! EC2: spot requests, templates, instances, builders and images.

use evenkeel_model::InstanceId;
use evenkeel_model::groups::SpotCode;
use evenkeel_model::templates::{
    BuilderState, ImageState, Launch, NoBuilder, Resolved, TemplateUse, TemplateVersion, VersionSpec,
};
use evenkeel_turn::ports::{ChangeImages, ChangeTemplates, PortError, ReadGroups, ReadImages, ReadTemplates};
use serde_json::json;

use crate::fake::{Asked, Fake, Reply, id};

/// The values of the filter with this name.
fn filter(asked: &Asked, name: &str) -> Vec<String> {
    let number = (1..).take_while(|number| asked.body[format!("Filter.{number}.Name")].is_string());
    let ours = number.into_iter().find(|number| asked.text(&format!("Filter.{number}.Name")) == name);
    ours.map(|number| asked.list(&format!("Filter.{number}.Value"))).unwrap_or_default()
}

fn many(count: usize) -> Vec<InstanceId> {
    (0..count).map(|number| id(&format!("i-{number:04}"))).collect()
}

#[tokio::test]
async fn spot_requests_are_asked_for_by_filter_two_hundred_at_a_time() {
    let fake = Fake::new(|asked| {
        let ids = filter(asked, "instance-id");
        assert!((1..=200).contains(&ids.len()), "{} ids", ids.len());
        assert!(!asked.text("MaxResults").is_empty());
        let item = |id: &String| {
            let code = if id == "i-0007" { "marked-for-termination" } else { "fulfilled" };
            format!(
                "<item><instanceId>{id}</instanceId><status><code>{code}</code>\
                 <updateTime>2026-01-05T00:08:00.000Z</updateTime></status></item>"
            )
        };
        Reply::Xml(format!(
            "<spotInstanceRequestSet>{}</spotInstanceRequestSet>",
            ids.iter().map(item).collect::<String>()
        ))
    });
    let requests = fake.aws().spot_requests(&many(450)).await.unwrap();
    assert_eq!((requests.len(), fake.calls()), (450, 3));
    assert_eq!((requests[7].code, requests[8].code), (SpotCode::Marked, SpotCode::Fulfilled));
    assert_eq!(requests[7].at, "2026-01-05T00:08:00Z".parse().unwrap());
}

#[tokio::test]
async fn instances_that_are_gone_are_left_out_and_spoil_nothing() {
    let fake = Fake::new(|asked| {
        assert!(asked.list("InstanceId").is_empty(), "one that is gone would fail the whole call");
        let ids = filter(asked, "instance-id");
        assert!(!filter(asked, "instance-state-name").contains(&"terminated".to_owned()));
        let item = |id: &String| {
            format!(
                "<item><instancesSet><item><instanceId>{id}</instanceId><imageId>ami-1</imageId>\
                 <launchTime>2026-01-04T23:00:00.000Z</launchTime></item></instancesSet></item>"
            )
        };
        let found: String = ids.iter().filter(|id| *id != "i-0001").map(item).collect();
        Reply::Xml(format!("<reservationSet>{found}</reservationSet>"))
    });
    let instances = fake.aws().instances(&many(3)).await.unwrap();
    let found: Vec<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(found, ["i-0000", "i-0002"]);
    assert_eq!((instances[0].image.clone(), instances[0].launched.as_second()), (Some(id("ami-1")), 1_767_567_600));
}

#[tokio::test]
async fn each_use_of_a_template_is_resolved_once_as_far_as_it_exists() {
    let fake = Fake::new(|asked| {
        assert_eq!(asked.text("ResolveAlias"), "true");
        match (asked.text("LaunchTemplateId"), asked.list("LaunchTemplateVersion")[0].as_str()) {
            ("lt-1", "$Latest") => Reply::Xml(
                "<launchTemplateVersionSet><item><launchTemplateId>lt-1</launchTemplateId>\
                 <versionNumber>5</versionNumber><versionDescription>evenkeel shop r-1</versionDescription>\
                 <launchTemplateData><imageId>ami-5</imageId></launchTemplateData></item></launchTemplateVersionSet>"
                    .to_owned(),
            ),
            ("lt-1", "$Default") => Reply::Xml(
                "<launchTemplateVersionSet><item><launchTemplateId>lt-1</launchTemplateId>\
                 <versionNumber>3</versionNumber></item></launchTemplateVersionSet>"
                    .to_owned(),
            ),
            ("lt-1", _) => Reply::Error("InvalidLaunchTemplateId.VersionNotFound", "", 400),
            ("lt-3", _) => Reply::Error("UnauthorizedOperation", "not authorized to perform: ssm:GetParameters", 403),
            _ => Reply::Error("InvalidLaunchTemplateId.NotFound", "", 400),
        }
    });
    let of = |template: &str, version| TemplateUse { id: id(template), version };
    let uses = [
        of("lt-1", VersionSpec::Latest),
        of("lt-1", VersionSpec::Default),
        of("lt-1", VersionSpec::Latest),
        of("lt-1", VersionSpec::Number(99)),
        of("lt-2", VersionSpec::Default),
        of("lt-3", VersionSpec::Default),
    ];
    let Resolved { found: templates, denied } = fake.aws().templates(&uses).await.unwrap();
    assert_eq!(fake.calls(), 5);
    assert_eq!(denied.iter().map(|one| &one.asks).collect::<Vec<_>>(), [&of("lt-3", VersionSpec::Default)]);
    assert!(denied[0].because.contains("ssm:GetParameters"), "{denied:?}");
    let found: Vec<_> =
        templates.iter().map(|t| (t.asks.version, t.version, t.image.clone(), t.note.clone())).collect();
    let newest = (VersionSpec::Latest, 5, Some(id("ami-5")), Some("evenkeel shop r-1".to_owned()));
    assert_eq!(found, [newest, (VersionSpec::Default, 3, None, None)]);
}

#[tokio::test]
async fn a_new_version_is_made_from_an_old_one_once() {
    let fake = Fake::new(|_| Reply::Xml(String::new()));
    let aws = fake.aws();
    let from = TemplateVersion { id: id("lt-1"), version: 5 };
    for _ in 0..2 {
        aws.new_version(&from, &id("ami-6"), "evenkeel shop r-1").await.unwrap();
    }
    let made = fake.asked("CreateLaunchTemplateVersion");
    let fields = ["LaunchTemplateId", "SourceVersion", "VersionDescription", "LaunchTemplateData.ImageId"];
    assert_eq!(fields.map(|field| made[0].text(field)), ["lt-1", "5", "evenkeel shop r-1", "ami-6"]);
    assert_eq!(made[0].text("ClientToken"), made[1].text("ClientToken"));
    aws.set_default(&id("lt-1"), 6).await.unwrap();
    assert_eq!(fake.asked("ModifyLaunchTemplate")[0].text("SetDefaultVersion"), "6");
}

#[tokio::test]
async fn a_builder_runs_the_commands_and_stops_itself() {
    let fake = Fake::new(|_| Reply::Xml(String::new()));
    let aws = fake.aws();
    let commands = ["dnf -y update".to_owned()];
    aws.run_builder(&id("shop"), &id("r-1"), &launch(None), &commands).await.unwrap();
    let run = &fake.asked("RunInstances")[0];
    let expect = [
        ("LaunchTemplate.LaunchTemplateId", "lt-1"),
        ("LaunchTemplate.Version", "5"),
        ("ImageId", "ami-1"),
        ("ClientToken", "r-1"),
        ("InstanceInitiatedShutdownBehavior", "stop"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "evenkeel:fleet"),
        ("TagSpecification.1.Tag.1.Value", "shop"),
        ("TagSpecification.1.Tag.2.Key", "evenkeel:roll"),
        ("TagSpecification.1.Tag.2.Value", "r-1"),
        ("InstanceType", "m7i.large"),
        // #!/bin/bash, the agent masked, set -e, the command, shutdown -h now
        (
            "UserData",
            "IyEvYmluL2Jhc2gKc3lzdGVtY3RsIG1hc2sgLS1ydW50aW1lIC0tbm93IGVjcyB8fCB0cnVlCnNldCAtZQpkbmYgLXkgdXBkYXRlCnNodXRkb3duIC1oIG5vdwo=",
        ),
    ];
    for (field, value) in expect {
        assert_eq!(run.text(field), value, "{field}");
    }
    let long = ["x".repeat(17_000)];
    let refused = aws.run_builder(&id("shop"), &id("r-1"), &launch(None), &long).await;
    assert!(matches!(refused, Err(PortError::Refused(_))), "{refused:?}");
    assert_eq!(fake.calls(), 1);
}

/// A builder from version 5 of a template that names no instance type.
fn launch(subnet: Option<&str>) -> Launch {
    let template = TemplateVersion { id: id("lt-1"), version: 5 };
    Launch { template, image: id("ami-1"), subnet: subnet.map(id), instance_type: Some(id("m7i.large")) }
}

/// What EC2 is asked for where the template has this and the group launches into `subnet-a`.
async fn run_from(data: &str) -> Asked {
    let found = format!(
        "<launchTemplateVersionSet><item><launchTemplateId>lt-1</launchTemplateId><versionNumber>5</versionNumber>\
         <launchTemplateData>{data}</launchTemplateData></item></launchTemplateVersionSet>"
    );
    let fake = Fake::new(move |asked| match asked.action.as_str() {
        "DescribeLaunchTemplateVersions" => Reply::Xml(found.clone()),
        _ => Reply::Xml(String::new()),
    });
    fake.aws().run_builder(&id("shop"), &id("r-1"), &launch(Some("subnet-a")), &[]).await.unwrap();
    let asked = &fake.asked("DescribeLaunchTemplateVersions")[0];
    assert_eq!((asked.text("LaunchTemplateId"), asked.list("LaunchTemplateVersion")), ("lt-1", vec!["5".to_owned()]));
    fake.asked("RunInstances").remove(0)
}

#[tokio::test]
async fn a_builder_comes_into_a_subnet_of_its_group() {
    let subnets = |run: &Asked| ["SubnetId", "NetworkInterface.1.SubnetId"].map(|field| run.text(field).to_owned());
    let groups = "<securityGroupIdSet><item>sg-1</item></securityGroupIdSet>";
    assert_eq!(subnets(&run_from(groups).await), ["subnet-a", ""]);
    // Beside network interfaces EC2 refuses an instance's subnet, so it goes into them, with all that they had.
    let interfaces = "<networkInterfaceSet><item><associatePublicIpAddress>true</associatePublicIpAddress>\
        <deviceIndex>0</deviceIndex><groupSet><groupId>sg-1</groupId><groupId>sg-2</groupId></groupSet>\
        <ipv6PrefixSet><item><ipv6Prefix>2001:db8::/80</ipv6Prefix></item></ipv6PrefixSet></item>\
        <item><deviceIndex>1</deviceIndex><subnetId>subnet-b</subnetId></item></networkInterfaceSet>";
    let run = run_from(interfaces).await;
    assert_eq!(subnets(&run), ["", "subnet-a"]);
    let expect = [
        ("NetworkInterface.1.AssociatePublicIpAddress", "true"),
        ("NetworkInterface.1.DeviceIndex", "0"),
        ("NetworkInterface.1.SecurityGroupId.1", "sg-1"),
        ("NetworkInterface.1.SecurityGroupId.2", "sg-2"),
        ("NetworkInterface.1.Ipv6Prefix.1.Ipv6Prefix", "2001:db8::/80"),
        ("NetworkInterface.2.DeviceIndex", "1"),
        ("NetworkInterface.2.SubnetId", "subnet-b"),
    ];
    for (field, value) in expect {
        assert_eq!(run.text(field), value, "{field}");
    }
    // A template that names its subnets is taken as it is.
    let own = "<networkInterfaceSet><item><deviceIndex>0</deviceIndex><subnetId>subnet-b</subnetId></item>\
        </networkInterfaceSet>";
    let run = run_from(own).await;
    assert_eq!(subnets(&run), ["", ""]);
    assert!(run.body["NetworkInterface.1.DeviceIndex"].is_null());
}

#[tokio::test]
async fn a_builder_of_a_version_that_is_gone_is_not_launched() {
    let fake = Fake::new(|_| Reply::Xml("<launchTemplateVersionSet/>".to_owned()));
    let run = fake.aws().run_builder(&id("shop"), &id("r-1"), &launch(Some("subnet-a")), &[]).await;
    assert!(matches!(run, Err(PortError::NotFound(_))), "{run:?}");
    assert_eq!(fake.asked("RunInstances").len(), 0);
}

#[tokio::test]
async fn templates_tell_their_instance_type_and_what_only_groups_can_launch() {
    let spot = "<instanceMarketOptions><marketType>spot</marketType></instanceMarketOptions>";
    let needs = "<instanceRequirements><vCpuCount><min>2</min></vCpuCount></instanceRequirements>";
    let cases = [
        ("<instanceType>m7i.large</instanceType>", Some("m7i.large"), None),
        (spot, None, Some(NoBuilder::Spot)),
        (needs, None, Some(NoBuilder::Requirements)),
        ("", None, None),
    ];
    for (data, kind, no_builder) in cases {
        let found = format!(
            "<launchTemplateVersionSet><item><launchTemplateId>lt-1</launchTemplateId><versionNumber>5</versionNumber>\
             <launchTemplateData>{data}</launchTemplateData></item></launchTemplateVersionSet>"
        );
        let fake = Fake::new(move |_| Reply::Xml(found.clone()));
        let uses = [TemplateUse { id: id("lt-1"), version: VersionSpec::Latest }];
        let found = fake.aws().templates(&uses).await.unwrap().found.remove(0);
        assert_eq!((found.instance_type, found.no_builder), (kind.map(id), no_builder), "{data}");
    }
}

#[tokio::test]
async fn builders_are_found_by_their_tags() {
    let states = [
        ("pending", Some(BuilderState::Running)),
        ("running", Some(BuilderState::Running)),
        ("stopping", Some(BuilderState::Running)),
        ("stopped", Some(BuilderState::Stopped)),
        ("shutting-down", Some(BuilderState::Gone)),
        ("terminated", Some(BuilderState::Gone)),
        ("a-new-word", None),
    ];
    let fake = Fake::new(move |asked| {
        assert_eq!(filter(asked, "tag:evenkeel:fleet"), ["shop"]);
        assert_eq!(filter(asked, "tag-key"), ["evenkeel:roll"]);
        let item = |(state, _): &(&str, Option<BuilderState>)| {
            format!(
                "<item><instanceId>i-{state}</instanceId><instanceState><name>{state}</name></instanceState>\
                 <tagSet><item><key>evenkeel:roll</key><value>r-1</value></item></tagSet></item>"
            )
        };
        let items: String = states.iter().map(item).collect();
        Reply::Xml(format!("<reservationSet><item><instancesSet>{items}</instancesSet></item></reservationSet>"))
    });
    let builders = fake.aws().builders(&id("shop")).await.unwrap();
    let found: Vec<_> = builders.iter().map(|builder| Some(builder.state)).collect();
    assert_eq!(found, states.iter().map(|(_, state)| *state).filter(Option::is_some).collect::<Vec<_>>());
    assert_eq!(builders[0].roll, id("r-1"));
}

#[tokio::test]
async fn images_are_ours_by_tag_or_others_by_name() {
    let image = |image: &str, state: &str, fleet: &str| {
        format!(
            "<item><imageId>{image}</imageId><imageState>{state}</imageState><name>evenkeel-shop-{image}</name>\
             <creationDate>2026-01-04T02:00:00.000Z</creationDate><tagSet>\
             <item><key>evenkeel:fleet</key><value>{fleet}</value></item>\
             <item><key>evenkeel:roll</key><value>r-1</value></item></tagSet></item>"
        )
    };
    let fake = Fake::new(move |asked| {
        assert_eq!(asked.list("Owner"), ["self"]);
        let ours = [image("ami-1", "available", "shop"), image("ami-2", "pending", "shop")].concat();
        let others = [image("ami-3", "failed", "other-shop"), image("ami-1", "available", "shop")].concat();
        let by_name = filter(asked, "name");
        assert!(by_name.is_empty() || by_name == ["evenkeel-shop\\*-*"], "{by_name:?}");
        Reply::Xml(format!("<imagesSet>{}</imagesSet>", if by_name.is_empty() { ours } else { others }))
    });
    let images = fake.aws().images(&id("shop"), "evenkeel-shop*-").await.unwrap();
    let found: Vec<_> = images.iter().map(|image| (image.id.as_str(), image.state, image.roll.is_some())).collect();
    let expect = [
        ("ami-1", ImageState::Available, true),
        ("ami-2", ImageState::Pending, true),
        ("ami-3", ImageState::Failed, false),
    ];
    assert_eq!(found, expect);
    assert_eq!(images[0].created, "2026-01-04T02:00:00Z".parse().unwrap());
}

#[tokio::test]
async fn images_are_made_tagged_and_deleted_with_their_snapshots() {
    let fake = Fake::new(|asked| match asked.action.as_str() {
        "TerminateInstances" => Reply::Error("InvalidInstanceID.NotFound", "", 400),
        _ => Reply::Xml(String::new()),
    });
    let aws = fake.aws();
    aws.make_image(&id("shop"), &id("r-1"), &id("i-1"), "evenkeel-shop-r-1").await.unwrap();
    let made = &fake.asked("CreateImage")[0];
    assert_eq!(made.text("Name"), "evenkeel-shop-r-1");
    let tagged = ["TagSpecification.1.ResourceType", "TagSpecification.2.ResourceType"];
    assert_eq!(tagged.map(|field| made.text(field)), ["image", "snapshot"]);
    aws.delete_image(&id("ami-1")).await.unwrap();
    assert_eq!(fake.asked("DeregisterImage")[0].text("DeleteAssociatedSnapshots"), "true");
    assert!(matches!(aws.end_builder(&id("i-1")).await, Err(PortError::NotFound(_))));
}

#[tokio::test]
async fn a_parameter_that_names_no_image_is_refused() {
    for (value, good) in [("ami-1", true), (r#"{"image_id":"ami-1"}"#, true), ("latest, please", false)] {
        let fake = Fake::new(move |_| Reply::Json(json!({ "Parameter": { "Name": "p", "Value": value } })));
        let image = fake.aws().base_image("/images/base").await;
        assert_eq!(image.is_ok(), good, "{image:?}");
        assert_eq!(fake.asked("GetParameter")[0].text("Name"), "/images/base");
    }
}
