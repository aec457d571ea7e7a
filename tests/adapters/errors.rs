//! What a turn is told about calls that fail, in each of AWS's protocols, and how often they are made.

use evenkeel_turn::ports::{Answer, ChangeEcs, ChangeGroups, FleetFiles, PortError, ReadSignals, ReadTemplates};

use crate::fake::{Fake, Reply, id};

fn told(kind: &str) -> impl Fn(&PortError) -> bool {
    move |error| {
        let found = match error {
            PortError::Throttled => "throttled",
            PortError::Unavailable(_) => "no answer",
            PortError::NotFound(_) => "gone",
            PortError::Busy(_) => "busy",
            PortError::Conflict(_) => "conflict",
            PortError::NoCapacity(_) => "capacity",
            PortError::OverQuota(_) => "quota",
            PortError::Unfinished { .. } => "unfinished",
            PortError::Refused(_) => "refused",
        };
        found == kind
    }
}

fn check(answer: &Answer<()>, kind: &str, fake: &Fake, calls: usize) {
    let error = answer.as_ref().expect_err("the call failed");
    assert!(told(kind)(error), "{error:?} is not {kind}");
    assert_eq!(fake.calls(), calls, "calls for {error:?}");
}

#[tokio::test(start_paused = true)]
async fn json_errors_are_told_apart_and_only_passing_ones_tried_again() {
    let cases = [
        (Reply::Error("ThrottlingException", "Rate exceeded", 400), "throttled", 2),
        (Reply::Error("ServerException", "Service Unavailable", 500), "no answer", 2),
        (Reply::Broken, "no answer", 2),
        (Reply::Silence, "no answer", 2),
        (Reply::Error("ServiceNotFoundException", "Service not found.", 400), "gone", 1),
        (Reply::Error("ServiceNotActiveException", "Service was not ACTIVE.", 400), "gone", 1),
        (Reply::Error("ClusterNotFoundException", "Cluster not found.", 400), "gone", 1),
        (Reply::Error("AccessDeniedException", "User is not authorized", 400), "refused", 1),
        (Reply::Error("InvalidParameterException", "Invalid count", 400), "refused", 1),
    ];
    for (reply, kind, calls) in cases {
        let fake = Fake::new(move |_| reply.clone());
        check(&fake.aws().set_desired_count(&id("shop"), &id("web"), 3).await, kind, &fake, calls);
    }
}

#[tokio::test(start_paused = true)]
async fn query_errors_are_told_apart() {
    let gone = "Instance Id not found - No managed instance found for instance ID: i-0abc";
    let cases = [
        (Reply::Error("Throttling", "Rate exceeded", 400), "throttled", 2),
        (Reply::Error("ScalingActivityInProgress", "Activity is in progress", 400), "busy", 1),
        (Reply::Error("ResourceContention", "You already have a pending update", 500), "busy", 2),
        (Reply::Error("ValidationError", gone, 400), "gone", 1),
        (Reply::Error("ValidationError", "The instance is protected", 400), "refused", 1),
        (Reply::Error("InternalFailure", "", 500), "no answer", 2),
    ];
    for (reply, kind, calls) in cases {
        let fake = Fake::new(move |_| reply.clone());
        // One that makes the group smaller is never tried again by the SDK: a second one shrinks it once more.
        check(&fake.aws().terminate(&id("i-0abc"), false).await, kind, &fake, calls);
        check(&fake.aws().terminate(&id("i-0abc"), true).await, kind, &fake, calls + 1);
    }
    let above = "New SetDesiredCapacity value 9 is above max value 5 for the AutoScalingGroup.";
    let missing = "AutoScalingGroup name not found - AutoScalingGroup 'shop-spot' not found";
    for (message, kind) in [(above, "refused"), (missing, "gone")] {
        let fake = Fake::new(move |_| Reply::Error("ValidationError", message, 400));
        check(&fake.aws().set_capacity(&id("shop-spot"), 9).await, kind, &fake, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_ec2_tell_capacity_from_quota() {
    use evenkeel_model::templates::Launch;
    use evenkeel_turn::ports::ChangeImages;
    let cases = [
        (Reply::Error("RequestLimitExceeded", "Request limit exceeded.", 503), "throttled", 2),
        (Reply::Error("InsufficientInstanceCapacity", "We currently do not have sufficient", 500), "capacity", 2),
        (Reply::Error("VcpuLimitExceeded", "You have requested more vCPU capacity", 400), "quota", 1),
        (Reply::Error("InvalidLaunchTemplateId.NotFound", "", 400), "gone", 1),
        (Reply::Error("UnauthorizedOperation", "You are not authorized", 403), "refused", 1),
        (Reply::Broken, "no answer", 2),
    ];
    for (reply, kind, calls) in cases {
        let fake = Fake::new(move |_| reply.clone());
        let template = evenkeel_model::templates::TemplateVersion { id: id("lt-1"), version: 3 };
        let launch = Launch { template, image: id("ami-1"), subnet: None, instance_type: None };
        let run = fake.aws().run_builder(&id("shop"), &id("roll-1"), &launch, &[]).await;
        check(&run, kind, &fake, calls);
    }
    let fake = Fake::new(|_| Reply::Error("IncorrectInstanceState", "", 400));
    let image = fake.aws().make_image(&id("shop"), &id("roll-1"), &id("i-1"), "shop-1").await;
    check(&image, "conflict", &fake, 1);
    let fake = Fake::new(|_| Reply::Error("InvalidAMIName.Duplicate", "AMI name is already in use", 400));
    check(&fake.aws().make_image(&id("shop"), &id("roll-1"), &id("i-1"), "shop-1").await, "refused", &fake, 1);
    let fake = Fake::new(|_| Reply::Error("InternalError", "", 500));
    assert!(matches!(fake.aws().instances(&[id("i-1")]).await, Err(PortError::Unavailable(_))));
}

#[tokio::test(start_paused = true)]
async fn errors_in_cbor_and_of_parameters_are_told_apart() {
    let fake = Fake::new(|_| Reply::Error("ThrottlingException", "Rate exceeded", 400));
    assert_eq!(fake.aws().alarms(&[id("shop-5xx")]).await, Err(PortError::Throttled));
    let fake = Fake::new(|_| Reply::Error("ParameterNotFound", "", 400));
    assert!(matches!(fake.aws().text(&id("shop")).await, Err(PortError::NotFound(_))));
}
