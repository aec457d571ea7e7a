//! Auto Scaling: groups and their members, refused launches, refreshes, and which version a group launches.

use std::collections::BTreeSet;

use evenkeel_aws::Also;
use evenkeel_model::GroupName;
use evenkeel_model::groups::{Group, MemberState, Process, RefusalKind, ScaledBy};
use evenkeel_model::templates::{TemplateUse, TemplateVersion, VersionSpec};
use evenkeel_turn::ports::{ChangeGroups, ChangeTemplates, ReadGroups};

use crate::fake::{Fake, Reply, id};

fn instance(number: usize, state: &str) -> String {
    format!(
        "<member><InstanceId>i-{number}</InstanceId><LifecycleState>{state}</LifecycleState>\
         <HealthStatus>{}</HealthStatus><AvailabilityZone>eu-west-1b</AvailabilityZone><InstanceType>m6a.large</InstanceType>\
         <ProtectedFromScaleIn>{}</ProtectedFromScaleIn><LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId>\
         <LaunchTemplateName>shop</LaunchTemplateName><Version>4</Version></LaunchTemplate></member>",
        if number == 2 { "UNHEALTHY" } else { "Healthy" },
        number == 1,
    )
}

const MIXED: &str = "<MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification>\
    <LaunchTemplateId>lt-1</LaunchTemplateId><Version>$Latest</Version></LaunchTemplateSpecification>\
    <Overrides><member><InstanceType>m5.large</InstanceType><WeightedCapacity>2</WeightedCapacity></member>\
    <member><InstanceType>m6i.large</InstanceType></member></Overrides></LaunchTemplate>\
    <InstancesDistribution><OnDemandPercentageAboveBaseCapacity>0</OnDemandPercentageAboveBaseCapacity>\
    </InstancesDistribution></MixedInstancesPolicy>";

const PLAIN: &str = "<LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId>\
    <LaunchTemplateName>shop</LaunchTemplateName></LaunchTemplate>";

fn group(name: &str, inner: &str) -> String {
    format!(
        "<member><AutoScalingGroupName>{name}</AutoScalingGroupName><MinSize>1</MinSize><MaxSize>7</MaxSize>\
         <DesiredCapacity>3</DesiredCapacity>{inner}</member>"
    )
}

#[tokio::test]
async fn groups_are_asked_for_by_fifty_names_in_pages() {
    let fake = Fake::new(|asked| {
        let names = asked.list("AutoScalingGroupNames");
        assert!((1..=50).contains(&names.len()), "{} names", names.len());
        let first = asked.text("NextToken").is_empty();
        // Two pages for each fifty.
        let (now, later) = names.split_at(names.len() / 2);
        let page: String = if first { now } else { later }.iter().map(|name| group(name, PLAIN)).collect();
        let next = if first { "<NextToken>more</NextToken>" } else { "" };
        Reply::Xml(format!("<AutoScalingGroups>{page}</AutoScalingGroups>{next}"))
    });
    let names: Vec<GroupName> = (0..60).map(|number| id(&format!("shop-{number}"))).collect();
    let groups = fake.aws().groups(&names).await.unwrap();
    assert_eq!(groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>(), names);
    assert_eq!(fake.calls(), 4);
}

#[tokio::test]
async fn a_group_is_told_with_its_members_and_what_it_launches() {
    let states = ["InService", "Pending:Wait", "Terminating:Proceed", "Standby", "Warmed:Stopped", "BrandNew"];
    let members: String = states.iter().enumerate().map(|(number, state)| instance(number, state)).collect();
    let alike = MIXED.replace("<WeightedCapacity>2", "<WeightedCapacity>1");
    let inner = format!(
        "{alike}<VPCZoneIdentifier>subnet-b,subnet-a</VPCZoneIdentifier><Instances>{members}</Instances>\
         <SuspendedProcesses><member><ProcessName>Launch</ProcessName></member>\
         <member><ProcessName>AZRebalance</ProcessName></member></SuspendedProcesses>\
         <TargetGroupARNs><member>arn:tg/web</member></TargetGroupARNs>\
         <TrafficSources><member><Identifier>arn:tg/web</Identifier><Type>elbv2</Type></member>\
         <member><Identifier>arn:lattice</Identifier><Type>vpc-lattice</Type></member></TrafficSources>"
    );
    let fake = Fake::new(move |_| {
        Reply::Xml(format!("<AutoScalingGroups>{}</AutoScalingGroups>", group("shop-spot", &inner)))
    });
    let groups = fake.aws().groups(&[id("shop-spot")]).await.unwrap();
    let [group] = groups.as_slice() else { panic!("one group") };
    assert_eq!((group.desired, group.min, group.max), (3, 1, 7));
    let found: Vec<_> = group.members.iter().map(|member| (member.id.as_str(), member.state)).collect();
    let expect = [
        ("i-0", MemberState::InService),
        ("i-1", MemberState::Pending),
        ("i-2", MemberState::Terminating),
        ("i-3", MemberState::Aside),
        ("i-5", MemberState::Aside),
    ];
    assert_eq!(found, expect, "what waits in the warm pool is no member");
    assert_eq!(group.members.iter().map(|member| member.healthy).collect::<Vec<_>>(), [true, true, false, true, true]);
    assert!(group.members[1].protected);
    assert_eq!(group.members[0].template, Some(TemplateVersion { id: id("lt-1"), version: 4 }));
    assert_eq!(group.template, Some(TemplateUse { id: id("lt-1"), version: VersionSpec::Latest }));
    assert_eq!(group.suspended, BTreeSet::from([Process::Launch]));
    assert_eq!(group.target_groups, [id("arn:tg/web")]);
    assert_eq!(
        (group.subnets.clone(), group.instance_type.clone()),
        (vec![id("subnet-b"), id("subnet-a")], Some(id("m5.large")))
    );
    assert!(!group.warm_pool, "so nobody asks what waits there");
}

/// The group whose policy has these overrides, and this besides.
async fn mixed(overrides: &str, besides: &str) -> Group {
    let launch = "<LaunchTemplateSpecification><LaunchTemplateId>lt-x86</LaunchTemplateId><Version>$Latest</Version>\
                  </LaunchTemplateSpecification>";
    let policy = format!(
        "<MixedInstancesPolicy><LaunchTemplate>{launch}<Overrides>{overrides}</Overrides></LaunchTemplate>\
         </MixedInstancesPolicy>{besides}"
    );
    let fake =
        Fake::new(move |_| Reply::Xml(format!("<AutoScalingGroups>{}</AutoScalingGroups>", group("g", &policy))));
    fake.aws().groups(&[id("g")]).await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn a_group_of_two_architectures_is_told_with_all_that_it_launches_from() {
    let arm = "<member><InstanceType>m6i.large</InstanceType></member><member><InstanceType>m6g.large</InstanceType>\
               <LaunchTemplateSpecification><LaunchTemplateId>lt-arm</LaunchTemplateId><Version>$Latest</Version>\
               </LaunchTemplateSpecification></member>";
    let found = mixed(arm, "").await;
    let latest = |template: &str| TemplateUse { id: id(template), version: VersionSpec::Latest };
    assert_eq!((found.template, found.lines), (Some(latest("lt-x86")), vec![latest("lt-arm")]));
    assert_eq!((found.own_images, found.scaled_by), (false, None));
    let image = "<member><InstanceType>m6g.large</InstanceType><ImageId>ami-arm</ImageId></member>";
    assert!(mixed(image, "").await.own_images);
}

#[tokio::test]
async fn a_group_that_names_no_instance_type_has_that_of_its_instances() {
    let needs = "<member><InstanceRequirements><VCpuCount><Min>2</Min></VCpuCount></InstanceRequirements></member>";
    let members = format!("<Instances>{}</Instances>", instance(0, "InService"));
    let found = mixed(needs, &format!("<VPCZoneIdentifier></VPCZoneIdentifier>{members}")).await;
    assert_eq!((found.subnets, found.instance_type), (Vec::new(), Some(id("m6a.large"))));
    assert_eq!(mixed(needs, "").await.instance_type, None);
}

#[tokio::test]
async fn a_group_that_counts_something_else_is_told_in_hosts_and_its_capacity_is_not_ours() {
    let weights = "<member><InstanceType>m5.large</InstanceType><WeightedCapacity>2</WeightedCapacity></member>\
                   <member><InstanceType>m5.xlarge</InstanceType><WeightedCapacity>4</WeightedCapacity></member>";
    let members = |count: usize| {
        let weighs = "<WeightedCapacity>2</WeightedCapacity></member>";
        let one = |number: usize| instance(10 + number, "InService").replace("</member>", weighs);
        format!("<Instances>{}</Instances>", (0..count).map(one).collect::<String>())
    };
    let eight = |besides: String| format!("{besides}<DesiredCapacity>8</DesiredCapacity>");
    let found = mixed(weights, &eight(members(4))).await;
    assert_eq!((found.desired, found.min, found.max), (4, 0, 4), "four hosts of two units each");
    assert_eq!(found.scaled_by, Some(ScaledBy::Units("weights".to_owned())));
    assert_eq!(
        mixed(weights, &eight(members(1))).await.desired,
        3,
        "six units are missing: two hosts of four at least"
    );
    let vcpu = eight(format!("{}<DesiredCapacityType>vcpu</DesiredCapacityType>", members(2)));
    let found = mixed("", &vcpu).await;
    assert_eq!((found.desired, found.scaled_by), (2, Some(ScaledBy::Units("vcpu".to_owned()))));
}

#[tokio::test]
async fn what_else_sets_a_groups_capacity_is_told_and_asked_about_once() {
    let found = async |policies: &'static str, actions: &'static str| {
        let fake = Fake::new(move |asked| match asked.action.as_str() {
            "DescribePolicies" => Reply::Xml(format!("<ScalingPolicies>{policies}</ScalingPolicies>")),
            "DescribeScheduledActions" => {
                Reply::Xml(format!("<ScheduledUpdateGroupActions>{actions}</ScheduledUpdateGroupActions>"))
            }
            _ => Reply::Xml(format!("<AutoScalingGroups>{}</AutoScalingGroups>", group("g", PLAIN))),
        });
        let aws = fake.aws_that_asks(Also { scaled_groups: true, ..Also::NOTHING });
        let _known_after_that = aws.groups(&[id("g")]).await.unwrap();
        let found = aws.groups(&[id("g")]).await.unwrap().pop().unwrap().scaled_by;
        assert_eq!(fake.calls(), 4, "two for the group each time, and one for each of the others");
        found
    };
    let name = |name: &str| name.to_owned();
    let managed = "<member><PolicyName>ECSManagedAutoScalingPolicy-1</PolicyName><Enabled>true</Enabled></member>";
    assert_eq!(found(managed, "").await, Some(ScaledBy::ManagedScaling(name("ECSManagedAutoScalingPolicy-1"))));
    let own = "<member><PolicyName>off</PolicyName><Enabled>false</Enabled></member>\
               <member><PolicyName>forecast</PolicyName><PredictiveScalingConfiguration><Mode>ForecastOnly</Mode>\
               </PredictiveScalingConfiguration></member><member><PolicyName>cpu</PolicyName></member>";
    assert_eq!(found(own, "").await, Some(ScaledBy::Policy(name("cpu"))));
    let action =
        "<member><ScheduledActionName>nights</ScheduledActionName><DesiredCapacity>1</DesiredCapacity></member>";
    assert_eq!(found("", action).await, Some(ScaledBy::Schedule(name("nights"))));
    assert_eq!(found("", "").await, None);
}

#[tokio::test]
async fn what_waits_in_a_warm_pool_is_told_in_pages_with_what_it_was_launched_from() {
    let fake = Fake::new(|asked| {
        if asked.action == "DescribeAutoScalingGroups" {
            let inner = format!("{PLAIN}<WarmPoolConfiguration><MinSize>2</MinSize></WarmPoolConfiguration>");
            return Reply::Xml(format!("<AutoScalingGroups>{}</AutoScalingGroups>", group("shop-spot", &inner)));
        }
        let first = asked.text("NextToken").is_empty();
        let states =
            if first { ["Warmed:Stopped", "Pending:Wait"] } else { ["Warmed:Running", "Warmed:Terminating:Wait"] };
        let from = if first { 0 } else { 2 };
        let page: String = states.iter().enumerate().map(|(number, state)| instance(from + number, state)).collect();
        let next = if first { "<NextToken>more</NextToken>" } else { "" };
        Reply::Xml(format!("<Instances>{page}</Instances>{next}"))
    });
    assert!(fake.aws().groups(&[id("shop-spot")]).await.unwrap()[0].warm_pool);
    let found = fake.aws().warm_members(&id("shop-spot")).await.unwrap();
    let told: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.healthy, one.leaving)).collect();
    assert_eq!(told, [("i-0", true, false), ("i-2", false, false), ("i-3", true, true)]);
    assert_eq!(found[0].template, Some(TemplateVersion { id: id("lt-1"), version: 4 }));
    let asked = &fake.asked("DescribeWarmPool")[0];
    assert_eq!((asked.text("AutoScalingGroupName"), asked.text("MaxRecords")), ("shop-spot", "50"));
}

#[tokio::test]
async fn an_instance_in_a_warm_pool_ends_by_its_health_and_only_there() {
    let fake = Fake::new(|_| Reply::Xml(String::new()));
    fake.aws().end_warm(&id("i-1")).await.unwrap();
    let asked = &fake.asked("SetInstanceHealth")[0];
    assert_eq!((asked.text("InstanceId"), asked.text("HealthStatus")), ("i-1", "Unhealthy"));
    assert_eq!(asked.text("ShouldRespectGracePeriod"), "true", "one that has come into service since is not ended");
}

fn activity(minutes_ago: i64, status: &str, description: &str, message: &str) -> String {
    let start = crate::fake::now() - std::time::Duration::from_secs(60 * minutes_ago.unsigned_abs());
    format!(
        "<member><ActivityId>a</ActivityId><AutoScalingGroupName>g</AutoScalingGroupName><Cause>c</Cause>\
         <StartTime>{start}</StartTime><StatusCode>{status}</StatusCode><Description>{description}</Description>\
         <StatusMessage>{message}</StatusMessage></member>"
    )
}

#[tokio::test]
async fn refused_launches_of_the_last_hour_are_told_newest_first() {
    let launch = "Launching a new EC2 instance. Status Reason: …";
    let pages = [
        [
            activity(1, "Failed", launch, "UnfulfillableCapacity - Unable to fulfill capacity"),
            activity(2, "Successful", launch, ""),
            activity(3, "Failed", "Terminating EC2 instance: i-1", "VcpuLimitExceeded"),
        ]
        .concat(),
        [
            activity(30, "Failed", launch, "VcpuLimitExceeded - You have requested more vCPU capacity"),
            activity(61, "Failed", launch, "InsufficientInstanceCapacity"),
            activity(62, "Failed", launch, "InsufficientInstanceCapacity"),
        ]
        .concat(),
    ];
    let fake = Fake::new(move |asked| {
        let page = asked.text("NextToken").parse::<usize>().unwrap_or(0);
        let activities = pages.get(page).expect("paging ends where an activity is too old");
        Reply::Xml(format!("<Activities>{activities}</Activities><NextToken>{}</NextToken>", page + 1))
    });
    let refusals = fake.aws().refusals(&id("shop-spot")).await.unwrap();
    let kinds: Vec<_> = refusals.iter().map(|refusal| refusal.kind).collect();
    assert_eq!(kinds, [RefusalKind::Capacity, RefusalKind::Quota]);
    assert_eq!(fake.calls(), 2);
}

#[tokio::test]
async fn a_refresh_under_way_is_told_for_each_group() {
    let statuses = [
        ("g-pending", "Pending", true),
        ("g-progress", "InProgress", true),
        ("g-baking", "Baking", true),
        ("g-back", "RollbackInProgress", true),
        ("g-cancelling", "Cancelling", true),
        ("g-done", "Successful", false),
        ("g-failed", "Failed", false),
        ("g-cancelled", "Cancelled", false),
    ];
    let fake = Fake::new(move |asked| {
        let name = asked.text("AutoScalingGroupName");
        let status = statuses.iter().find(|(group, ..)| *group == name).map_or("Successful", |(_, status, _)| status);
        Reply::Xml(format!("<InstanceRefreshes><member><Status>{status}</Status></member></InstanceRefreshes>"))
    });
    let names: Vec<GroupName> = statuses.iter().map(|(name, ..)| id(name)).collect();
    let expect: Vec<GroupName> = statuses.iter().filter(|(.., runs)| *runs).map(|(name, ..)| id(name)).collect();
    assert_eq!(fake.aws().refreshes(&names).await.unwrap(), expect);
}

#[tokio::test]
async fn a_group_is_pointed_to_a_version_and_the_rest_of_its_policy_stays() {
    for (template, prefix) in
        [(PLAIN, "LaunchTemplate"), (MIXED, "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification")]
    {
        let fake = Fake::new(move |asked| match asked.action.as_str() {
            "UpdateAutoScalingGroup" => Reply::Xml(String::new()),
            _ => Reply::Xml(format!("<AutoScalingGroups>{}</AutoScalingGroups>", group("shop-spot", template))),
        });
        let wanted = TemplateUse { id: id("lt-1"), version: VersionSpec::Number(9) };
        fake.aws().use_version(&id("shop-spot"), &wanted).await.unwrap();
        let update = &fake.asked("UpdateAutoScalingGroup")[0];
        assert_eq!(update.text(&format!("{prefix}.LaunchTemplateId")), "lt-1");
        assert_eq!(update.text(&format!("{prefix}.Version")), "9");
        if template == MIXED {
            let policy = "MixedInstancesPolicy";
            assert_eq!(update.text(&format!("{policy}.LaunchTemplate.Overrides.1.WeightedCapacity")), "2");
            assert_eq!(update.text(&format!("{policy}.LaunchTemplate.Overrides.2.InstanceType")), "m6i.large");
            let share = format!("{policy}.InstancesDistribution.OnDemandPercentageAboveBaseCapacity");
            assert_eq!(update.text(&share), "0");
        }
    }
}

#[tokio::test]
async fn capacities_are_absolute_and_ends_say_whether_the_group_shrinks() {
    let fake = Fake::new(|_| Reply::Xml(String::new()));
    let aws = fake.aws();
    aws.set_capacity(&id("shop-spot"), 4).await.unwrap();
    let set = &fake.asked("SetDesiredCapacity")[0];
    assert_eq!((set.text("DesiredCapacity"), set.text("HonorCooldown")), ("4", "false"));
    for shrink in [true, false] {
        aws.terminate(&id("i-1"), shrink).await.unwrap();
    }
    let ends = fake.asked("TerminateInstanceInAutoScalingGroup");
    let shrinks: Vec<&str> = ends.iter().map(|asked| asked.text("ShouldDecrementDesiredCapacity")).collect();
    assert_eq!(shrinks, ["true", "false"]);
}
