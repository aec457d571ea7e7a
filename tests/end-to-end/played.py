"""A fleet as it is in the world: hosts, services and demand, and what a story does to them."""

import json
import time

from cloud import Fleet
from world.where import REGION


class Played:
    """A fleet, and what is known of it."""

    def __init__(self, cloud, fleet: Fleet, sizes, tasks, balanced=(), versions=None, profile=None):
        """`sizes` and `versions` of the launch template are by group, `tasks` by service; `profile` is that of the hosts.

        A story may say more before it is built: `fleet`, another file. By service: `providers`, the capacity providers, which
        are called as their groups, each with its base and its weight (what is said of `cluster` is its default), and
        `processors`, the kind that its tasks are for. By group: `types`, the instance types, each with a weight, with "image"
        for one of its own, or with nothing, and `bases`, how many on-demand hosts it has before all others are spot. `managed`
        are the groups of a provider with managed scaling; `away` says that all are in a VPC of their own."""
        self.cloud = cloud
        self.fleet = fleet
        self.cluster = fleet.data["cluster"]
        self.ecs, self.groups, self.ec2 = (cloud.client(name) for name in ("ecs", "autoscaling", "ec2"))
        self.cloudwatch = cloud.client("cloudwatch")
        self.events = cloud.client("events")
        self.sizes, self.tasks, self.balanced, self.versions = sizes, tasks, balanced, versions or {}
        self.providers, self.managed, self.types, self.processors, self.away = {}, set(), {}, {}, False
        self.bases = {}
        self.hardware = {"InstanceType": "m7i.large"} | ({"IamInstanceProfile": {"Name": profile}} if profile else {})
        # AWS never uses the ARN of a task definition again, and functions count on that.
        self.revision = f"{time.time():.0f}"

    def build(self):
        """The cluster, a launch template, the groups and the services, all at rest."""
        self.images = self.cloud.images()
        self.ecs.create_cluster(clusterName=self.cluster)
        made = self.ec2.create_launch_template(
            LaunchTemplateName=self.cluster, LaunchTemplateData=self.hardware | {"ImageId": self.images[0]}
        )
        self.template = made["LaunchTemplate"]["LaunchTemplateId"]
        self.graviton = None
        self.subnets = self._away() if self.away else self._near()
        for pool in self.fleet.data["pool"]:
            group = pool["auto_scaling_group"]
            tag = {"Key": "ecs-cluster", "Value": self.cluster, "PropagateAtLaunch": True}
            self.groups.create_auto_scaling_group(
                AutoScalingGroupName=group,
                MinSize=0,
                MaxSize=10,
                DesiredCapacity=self.sizes.get(group, 0),
                **self._launches(group),
                VPCZoneIdentifier=",".join(self.subnets),
                Tags=[tag | {"ResourceId": group, "ResourceType": "auto-scaling-group"}],
            )
        self._provide()
        for name, room in self.tasks.items():
            built = {"runtimePlatform": {"cpuArchitecture": self.processors[name]}} if name in self.processors else {}
            definition = self.ecs.register_task_definition(
                family=f"{name}-{self.revision}",
                containerDefinitions=[{"name": name, "image": name, "stopTimeout": 2, **room}],
                **built,
            )
            more = {"loadBalancers": [self._target_group(name)]} if name in self.balanced else {}
            if name in self.providers:
                more["capacityProviderStrategy"] = self._strategy(name)
            self.ecs.create_service(
                cluster=self.cluster,
                serviceName=name,
                taskDefinition=definition["taskDefinition"]["taskDefinitionArn"],
                desiredCount=0,
                **more,
            )
        self.cloud.world("run", paused=False)

    def _near(self):
        """The subnet that all fleets share."""
        of_zone = [{"Name": "availability-zone", "Values": [f"{REGION}a"]}, {"Name": "default-for-az", "Values": ["true"]}]
        return [one["SubnetId"] for one in self.ec2.describe_subnets(Filters=of_zone)["Subnets"]]

    def _away(self):
        """A VPC of its own, with a subnet in each of two zones."""
        vpc = self.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        zones = {f"{REGION}a": "10.7.0.0/24", f"{REGION}b": "10.7.1.0/24"}
        made = [self.ec2.create_subnet(VpcId=vpc, AvailabilityZone=zone, CidrBlock=block) for zone, block in zones.items()]
        return [one["Subnet"]["SubnetId"] for one in made]

    def _launches(self, group):
        """A launch template; with a policy where there are several instance types, in which those of another processor have
        a template of their own, or where some hosts are spot."""
        own = {"LaunchTemplateId": self.template, "Version": self.versions.get(group, "$Latest")}
        if group not in self.types and group not in self.bases:
            return {"LaunchTemplate": own}
        lines = []
        for kind, says in self.types.get(group, {}).items():
            line = {"InstanceType": kind}
            if says == "image":
                line["ImageId"] = self.images[2]
            elif says:
                line["WeightedCapacity"] = str(says)
            if kind.split(".")[0].endswith("g"):
                line["LaunchTemplateSpecification"] = {"LaunchTemplateId": self._graviton(), "Version": "$Latest"}
            lines.append(line)
        policy = {"LaunchTemplate": {"LaunchTemplateSpecification": own, "Overrides": lines}}
        if group in self.bases:
            beyond = {"OnDemandPercentageAboveBaseCapacity": 0, "SpotAllocationStrategy": "price-capacity-optimized"}
            policy["InstancesDistribution"] = {"OnDemandBaseCapacity": self.bases[group], **beyond}
        return {"MixedInstancesPolicy": policy}

    def _graviton(self):
        """The launch template of Graviton hosts."""
        if self.graviton is None:
            data = self.hardware | {"ImageId": self.cloud.images("arm64")[0], "InstanceType": "m7g.large"}
            name = f"{self.cluster}-graviton"
            made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
            self.graviton = made["LaunchTemplate"]["LaunchTemplateId"]
        return self.graviton

    def _strategy(self, name):
        given = self.providers.get(name, {})
        return [{"capacityProvider": one, "base": base, "weight": weight} for one, (base, weight) in given.items()]

    def _provide(self):
        """A capacity provider for each group that is to have one, of the same name."""
        names = sorted(self.managed | {name for strategy in self.providers.values() for name in strategy})
        for name in names:
            [group] = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
            given = {"autoScalingGroupArn": group["AutoScalingGroupARN"]}
            given |= {"managedScaling": {"status": "ENABLED"}} if name in self.managed else {}
            self.ecs.create_capacity_provider(name=name, autoScalingGroupProvider=given)
        if names:
            given = {"capacityProviders": names, "defaultCapacityProviderStrategy": self._strategy("cluster")}
            self.ecs.put_cluster_capacity_providers(cluster=self.cluster, **given)

    def _target_group(self, service):
        """A target group without a load balancer in front: its deregistration delay is what is read of it."""
        elb = self.cloud.client("elbv2")
        network = self.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        made = elb.create_target_group(Name=service, Protocol="HTTP", Port=80, VpcId=network, TargetType="instance")
        arn = made["TargetGroups"][0]["TargetGroupArn"]
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "1"}
        elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delay])
        return {"targetGroupArn": arn, "containerName": service, "containerPort": 80}

    def behind_a_load_balancer(self, group):
        """From now on the hosts of a group are targets, too."""
        arn = self._target_group(group)["targetGroupArn"]
        self.groups.attach_load_balancer_target_groups(AutoScalingGroupName=group, TargetGroupARNs=[arn])

    def desired(self):
        """Service to desired count."""
        found = self.ecs.describe_services(cluster=self.cluster, services=list(self.tasks))["services"]
        return {service["serviceName"]: service["desiredCount"] for service in found}

    def running(self):
        found = self.ecs.describe_services(cluster=self.cluster, services=list(self.tasks))["services"]
        return {service["serviceName"]: service["runningCount"] for service in found}

    def hosts(self):
        """EC2 instance to its container instance."""
        arns = self.ecs.list_container_instances(cluster=self.cluster)["containerInstanceArns"]
        if not arns:
            return {}
        found = self.ecs.describe_container_instances(cluster=self.cluster, containerInstances=arns)
        return {host["ec2InstanceId"]: host for host in found["containerInstances"]}

    def members(self, group=None):
        """Instance to its group's view of it; of one group, or of all."""
        names = [group] if group else [pool["auto_scaling_group"] for pool in self.fleet.data["pool"]]
        found = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
        return {one["InstanceId"]: one for each in found for one in each["Instances"]}

    def spot(self, group):
        """The members of a group that EC2 says are spot hosts."""
        pages = self.ec2.describe_instances(InstanceIds=list(self.members(group)))["Reservations"]
        hosts = [instance for page in pages for instance in page["Instances"]]
        return {host["InstanceId"] for host in hosts if host.get("InstanceLifecycle") == "spot"}

    def tasks_on(self, host):
        """The tasks that are not STOPPED on a container instance."""
        arns = []
        for status in ("RUNNING", "STOPPED"):
            given = {"cluster": self.cluster, "containerInstance": host["containerInstanceArn"], "desiredStatus": status}
            arns += self.ecs.list_tasks(**given)["taskArns"]
        if not arns:
            return []
        found = self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]
        return [task for task in found if task["lastStatus"] != "STOPPED"]

    def capacity(self, group):
        found = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return found[0]["DesiredCapacity"]

    def demand(self, metric, value):
        """A measured value for the last half minute, as a service publishes it every second."""
        namespace, name = metric.rsplit("/", 1)
        now = time.time()
        points = [
            {"MetricName": name, "Value": value, "StorageResolution": 1, "Timestamp": now - ago} for ago in range(0, 12)
        ]
        self.cloudwatch.put_metric_data(Namespace=namespace, MetricData=points)

    def put(self, source, kind, detail, resources=(), at=None):
        """An event, as its source would send it."""
        entry = {"Source": source, "DetailType": kind, "Detail": json.dumps(detail), "Resources": list(resources)}
        answer = self.events.put_events(Entries=[entry | ({"Time": at} if at else {})])
        assert answer["FailedEntryCount"] == 0, answer

    def new_image(self):
        """A new version of the launch template, which the groups launch from now on."""
        data = self.hardware | {"ImageId": self.images[1]}
        self.ec2.create_launch_template_version(LaunchTemplateId=self.template, LaunchTemplateData=data)

    def new_graviton_image(self):
        """The same for Graviton hosts."""
        data = self.hardware | {"ImageId": self.cloud.images("arm64")[1], "InstanceType": "m7g.large"}
        self.ec2.create_launch_template_version(LaunchTemplateId=self.graviton, LaunchTemplateData=data)

    def launched_from(self):
        """The images of the hosts that are there."""
        pages = self.ec2.describe_instances(InstanceIds=list(self.members()))["Reservations"]
        return {instance["ImageId"] for page in pages for instance in page["Instances"]}
