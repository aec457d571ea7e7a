//! What a reader has to be allowed is what the adapters read, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The adapters' clients, and what IAM calls their services.
const SERVICES: [(&str, &str); 9] = [
    ("applicationautoscaling", "application-autoscaling"),
    ("autoscaling", "autoscaling"),
    ("cloudwatch", "cloudwatch"),
    ("dynamodb", "dynamodb"),
    ("ec2", "ec2"),
    ("ecs", "ecs"),
    ("elb", "elasticloadbalancing"),
    ("sqs", "sqs"),
    ("ssm", "ssm"),
];
/// How the names of calls begin that change nothing.
const READS: [&str; 5] = ["describe_", "list_", "get_", "batch_get_", "query"];
/// EC2 makes this call for whoever reads a launch template whose image is a parameter (Auto Scaling user guide, "Use AWS
/// Systems Manager parameters instead of AMI IDs").
const BY_EC2: &str = "ssm:GetParameters";

/// The calls of the adapters in `folder` that read.
fn read_by(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_by(&path, found);
            continue;
        }
        let text: String = std::fs::read_to_string(&path).unwrap().split_whitespace().collect();
        for (client, service) in SERVICES {
            for call in text.split(&format!("self.{client}.")).skip(1) {
                let call = call.split('(').next().unwrap();
                if READS.iter().any(|begins| call.starts_with(begins)) {
                    let words = call.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
                    found.insert(format!("{service}:{}", words.collect::<String>()));
                }
            }
        }
    }
}

#[test]
fn the_readers_policy_is_what_the_adapters_read() {
    let mut expected = BTreeSet::from([BY_EC2.to_owned()]);
    read_by(Path::new("../../shared/aws/src"), &mut expected);
    assert!(expected.len() > 30 && expected.contains("ecs:DescribeTasks"), "{expected:?}");
    let policy: Value = serde_json::from_slice(&std::fs::read("../../infra/reader-policy.json").unwrap()).unwrap();
    let mut allowed = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        for action in statement["Action"].as_array().unwrap() {
            let action = action.as_str().unwrap();
            let (_, call) = action.split_once(':').unwrap();
            assert!(
                ["Describe", "List", "Get", "BatchGet", "Query"].iter().any(|begins| call.starts_with(begins)),
                "{action}"
            );
            assert!(allowed.insert(action.to_owned()), "{action} stands there twice");
        }
    }
    assert_eq!(allowed, expected);
}
