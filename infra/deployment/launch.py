"""The launch templates of the groups, where rolls change them: images, roles and keys that their hosts are launched with."""

from botocore.exceptions import ClientError

from .chunks import chunks
from .trouble import words_of

RESOLVED = "resolve:ssm:"


def look(session, groups, fleets, account):
    """Templates and roles for the policies. One that may not be read does not hide the others: it is said."""
    uses, unfit = {}, {}
    for group in groups.values():
        for use in template_uses(group):
            uses.setdefault((use["LaunchTemplateId"], use.get("Version") or "$Default"))
    account.templates = sorted({account.arn("ec2", f"launch-template/{template}") for template, _ in uses})
    ec2, profiles, parameters, types = session.client("ec2"), {}, {}, {}
    for template, version in uses:
        try:
            answer = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])
        except ClientError as error:
            account.notes.append(f"launch template {template} was not looked at, so no role of its hosts is known: {words_of(error)}")
            continue
        for found in answer["LaunchTemplateVersions"]:
            data = found["LaunchTemplateData"]
            types[template, version] = data.get("InstanceType")
            profile = data.get("IamInstanceProfile", {})
            name = profile.get("Name") or profile.get("Arn", "").rsplit("/", 1)[-1]
            if name:
                profiles.setdefault(name)
            if data.get("ImageId", "").startswith(RESOLVED):
                parameters.setdefault(parameter_in(data["ImageId"]))
            say_keys(template, data, account)
            unfit[template, version] = why_no_builder(data)
    for group in groups.values():
        for image in override_images(group):
            if image.startswith(RESOLVED):
                parameters.setdefault(parameter_in(image))
    account.image_parameters = list(parameters)
    for fleet in fleets:
        if fleet.base_image_parameter:
            refuse_processors(ec2, fleet, groups, types, account)
            refuse_builders(fleet, groups, unfit, account)
    account.host_roles = sorted(roles_of(session.client("iam"), profiles, account))


def refuse_processors(ec2, fleet, groups, types, account):
    """A bake makes one image, and an image is for one processor."""
    by_type = {}
    for place in fleet.groups:
        for kind in types_of(groups.get(place.name, {}), types):
            by_type.setdefault(kind, place.name)
    by_type.pop(None, None)
    pools = {}
    for chunk in chunks(sorted(by_type), 100):
        try:
            found = ec2.describe_instance_types(InstanceTypes=chunk)["InstanceTypes"]
        except ClientError as error:
            account.notes.append(f"{fleet.path}: the hosts' processors were not looked at: {words_of(error)}")
            return
        for one in found:
            for processor in set(one["ProcessorInfo"]["SupportedArchitectures"]) & {"arm64", "x86_64"}:
                pools.setdefault(processor, by_type[one["InstanceType"]])
    if len(pools) > 1:
        shown = ", ".join(f"{processor} in {group}" for processor, group in sorted(pools.items()))
        account.missing.append(
            f"{fleet.path}: patch.bake: makes one image, and the groups have two processors ({shown}): "
            "give each processor a fleet of its own, or leave [patch.bake] out"
        )


def types_of(group, types):
    """The instance types that a group launches, as far as it or its templates name them."""
    overrides = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
    named = [override["InstanceType"] for override in overrides if "InstanceType" in override]
    uses = [] if named else list(template_uses(group))
    return named + [types.get((use["LaunchTemplateId"], use.get("Version") or "$Default")) for use in uses]


def roles_of(iam, profiles, account):
    roles = set()
    for profile in profiles:
        try:
            found = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
        except ClientError as error:
            account.notes.append(f"instance profile {profile} was not looked at, so patchroll may not pass its role: {words_of(error)}")
            continue
        roles |= {role["Arn"] for role in found["Roles"]}
    return roles


def parameter_in(image):
    """`resolve:ssm:NAME`, with a version or a label after another colon, or with an ARN for a name."""
    name = image.removeprefix(RESOLVED)
    return ":".join(name.split(":")[:6]) if name.startswith("arn:") else name.split(":")[0]


def say_keys(template, data, account):
    """Auto Scaling launches with a role of its own, which no policy here reaches (Auto Scaling user guide, "Required AWS KMS
    key policy for use with encrypted volumes"); a builder is launched by patchroll."""
    keys = {mapping.get("Ebs", {}).get("KmsKeyId") for mapping in data.get("BlockDeviceMappings", [])} - {None, ""}
    for key in sorted(keys):
        account.notes.append(
            f"launch template {template} encrypts with key {key}: its key policy has to let AWSServiceRoleForAutoScaling use it, "
            "and, to bake, the role of patchroll (kms:CreateGrant, kms:Decrypt, kms:DescribeKey, kms:GenerateDataKeyWithoutPlaintext, "
            "kms:ReEncryptFrom, kms:ReEncryptTo); neither is set up here"
        )


def why_no_builder(data):
    """Why only a group can launch from a template: RunInstances takes nothing out of it (shared/model, `NoBuilder`)."""
    if data.get("InstanceMarketOptions", {}).get("MarketType") == "spot":
        return "asks for spot instances"
    return "names instance requirements, no type" if "InstanceRequirements" in data else None


def refuse_builders(fleet, groups, unfit, account):
    """A bake's builder is launched like a host of the first group that one can be launched like: there has to be one."""
    because = {}
    for place in fleet.groups:
        for use in template_uses(groups.get(place.name, {})):
            template = use["LaunchTemplateId"]
            because[template] = unfit.get((template, use.get("Version") or "$Default"))
    if not because or not all(because.values()):
        return
    shown = ", ".join(f"{template} {words}" for template, words in sorted(because.items()))
    account.missing.append(
        f"{fleet.path}: patch.bake: no launch template of the fleet can give a builder ({shown}): let a mixed instances policy say "
        "what is spot and which types there are, not the template, or leave [patch.bake] out"
    )


def template_uses(group):
    if "LaunchTemplate" in group:
        yield group["LaunchTemplate"]
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    if "LaunchTemplateSpecification" in mixed:
        yield mixed["LaunchTemplateSpecification"]
    for override in mixed.get("Overrides", []):
        if "LaunchTemplateSpecification" in override:
            yield override["LaunchTemplateSpecification"]


def override_images(group):
    for override in group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", []):
        if override.get("ImageId"):
            yield override["ImageId"]
