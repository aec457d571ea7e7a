"""CloudFormation stacks: made, changed and deleted by change sets, so that what does not change is said not to."""

import time

from botocore.exceptions import ClientError

from .trouble import Trouble, code_of, words_of

# Between two looks at a stack that changes.
PAUSE = 2.0
# The longest that a stack may take; its slowest resource is the dashboard, at some seconds.
LONGEST = 1800
NEVER_MADE = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "ROLLBACK_FAILED")
# SQS makes no queue of a name within a minute of deleting one (API reference, CreateQueue).
QUEUE_DELETED = ("QueueDeletedRecently", "must wait 60 seconds")
MINUTE = 62
# The longest that a look at what was changed by hand may take.
DRIFT = 300


class Stacks:
    """The stacks of one deployment."""

    def __init__(self, cloudformation, say, pause=PAUSE):
        self.api = cloudformation
        self.say = say
        self.pause = pause

    def describe(self, name):
        """The stack, or none."""
        try:
            return self.api.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if code_of(error) == "ValidationError" and "does not exist" in str(error):
                return None
            raise

    def outputs(self, name):
        stack = self.describe(name) or {}
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def parameters(self, name):
        """What the stack was told last; empty if it never was whole."""
        stack = self.describe(name) or {}
        if stack.get("StackStatus") in NEVER_MADE:
            return {}
        return {given["ParameterKey"]: given["ParameterValue"] for given in stack.get("Parameters", [])}

    def apply(self, name, template, parameters, tags, dry_run):
        """Makes the stack as the template and the parameters say. True if that changed anything."""
        stack = self._settled(name)
        if stack and stack["StackStatus"] in NEVER_MADE:
            if dry_run:
                self.say(f"{name}: was never made whole ({stack['StackStatus']}); would be made anew")
                return True
            self._delete(name)
            stack = None
        body = template.read_text(encoding="utf-8")
        if dry_run and not stack:
            kinds = self.api.get_template_summary(TemplateBody=body).get("ResourceTypes", [])
            self.say(f"{name}: would be made: {', '.join(sorted(set(kinds)))}")
            return True
        changes, change_set = self._change_set(name, body, parameters, tags, "UPDATE" if stack else "CREATE")
        if not changes:
            self._drop(name, change_set)
            self.say(f"{name}: unchanged")
            return False
        for change in changes:
            self.say(f"{name}: {'would ' if dry_run else ''}{change}")
        if dry_run:
            self._drop(name, change_set)
            return True
        failures = self._execute(name, change_set)
        if any(word in failure for failure in failures for word in QUEUE_DELETED):
            self.say(f"{name}: a queue of this name was deleted less than a minute ago; waiting, and trying again")
            time.sleep(MINUTE)
            stack = self._settled(name)
            if stack and stack["StackStatus"] in NEVER_MADE:
                self._delete(name)
                stack = None
            _, change_set = self._change_set(name, body, parameters, tags, "UPDATE" if stack else "CREATE")
            failures = self._execute(name, change_set)
        if failures:
            raise Trouble(*failures)
        self.say(f"{name}: {'changed' if stack else 'made'}")
        return True

    def _execute(self, name, change_set):
        """What failed; empty if nothing did."""
        began = time.time()
        self.api.execute_change_set(StackName=name, ChangeSetName=change_set)
        done = self._wait(name)
        if done and done["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return []
        if not done:
            return [f"{name}: somebody deleted the stack meanwhile"]
        return self._failures(name, done, began)

    def changed_by_hand(self, names):
        """What of the stacks is not as they made it, and what could not be looked at: each in words."""
        begun, changed, unseen = {}, [], []
        for name in names:
            try:
                begun[name] = self.api.detect_stack_drift(StackName=name)["StackDriftDetectionId"]
            except ClientError as error:
                unseen.append(f"{name}: {words_of(error)}")
        until = time.time() + DRIFT
        for name, detection in begun.items():
            while True:
                found = self.api.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
                if found["DetectionStatus"] != "DETECTION_IN_PROGRESS" or time.time() > until:
                    break
                time.sleep(self.pause)
            if found["DetectionStatus"] != "DETECTION_COMPLETE":
                unseen.append(f"{name}: {found.get('DetectionStatusReason', 'not looked through in time')}")
            if found["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                drifts, others = self._drifts(name)
                changed += drifts
                unseen += others
        return changed, unseen

    def _drifts(self, name):
        changed, seen = [], {}
        more = {}
        while True:
            answer = self.api.describe_stack_resource_drifts(StackName=name, **more)
            for drift in answer["StackResourceDrifts"]:
                what = f"{drift['LogicalResourceId']} ({drift['ResourceType'].removeprefix('AWS::')})"
                seen[drift["LogicalResourceId"]] = drift["StackResourceDriftStatus"]
                if drift["StackResourceDriftStatus"] == "DELETED":
                    changed.append(f"{name}: {what} is gone, deleted by hand")
                if drift["StackResourceDriftStatus"] == "MODIFIED":
                    places = sorted({one["PropertyPath"] for one in drift.get("PropertyDifferences", [])})
                    changed.append(f"{name}: {what} was changed by hand: {', '.join(places) or 'it does not say where'}")
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        pages = self.api.get_paginator("list_stack_resources").paginate(StackName=name)
        kinds = {
            one["ResourceType"].removeprefix("AWS::")
            for page in pages
            for one in page["StackResourceSummaries"]
            if seen.get(one["LogicalResourceId"], "NOT_CHECKED") in ("NOT_CHECKED", "UNKNOWN", "UNSUPPORTED")
        }
        return changed, [f"{name}: {', '.join(sorted(kinds))}"] if kinds else []

    def delete(self, name):
        """Deletes the stack. False if there was none."""
        if not self.describe(name):
            return False
        self._delete(name)
        return True

    def _delete(self, name):
        began = time.time()
        self.api.delete_stack(StackName=name)
        left = self._wait(name)
        if left and left["StackStatus"] != "DELETE_COMPLETE":
            raise Trouble(*self._failures(name, left, began))

    def _settled(self, name):
        """The stack, once nobody changes it any more."""
        stack = self.describe(name)
        if stack and stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != "REVIEW_IN_PROGRESS":
            self.say(f"{name}: {stack['StackStatus']}, by somebody else; waiting")
            stack = self._wait(name)
        return stack

    def _change_set(self, name, body, parameters, tags, kind):
        """What would change, and the change set that would do it."""
        change_set = f"evenkeel-{int(time.time() * 1000)}"
        self.api.create_change_set(
            StackName=name,
            ChangeSetName=change_set,
            ChangeSetType=kind,
            TemplateBody=body,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())],
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        until = time.time() + LONGEST
        while time.time() < until:
            found = self.api.describe_change_set(StackName=name, ChangeSetName=change_set)
            if found["Status"] == "CREATE_COMPLETE":
                return [said_of(change["ResourceChange"]) for change in self._all(name, change_set, found)], change_set
            if found["Status"] == "FAILED":
                reason = found.get("StatusReason", "")
                if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                    return [], change_set
                self._drop(name, change_set)
                raise Trouble(f"{name}: {reason}")
            time.sleep(self.pause)
        raise Trouble(f"{name}: the change set {change_set} was not ready in {LONGEST} s")

    def _all(self, name, change_set, found):
        changes = list(found["Changes"])
        while found.get("NextToken"):
            found = self.api.describe_change_set(
                StackName=name, ChangeSetName=change_set, NextToken=found["NextToken"]
            )
            changes += found["Changes"]
        return changes

    def _drop(self, name, change_set):
        self.api.delete_change_set(StackName=name, ChangeSetName=change_set)

    def _wait(self, name):
        """The stack when it is settled; none if it is gone."""
        until = time.time() + LONGEST
        while time.time() < until:
            stack = self.describe(name)
            if not stack or not stack["StackStatus"].endswith("_IN_PROGRESS"):
                return stack
            time.sleep(self.pause)
        raise Trouble(f"{name}: not settled in {LONGEST} s; look at it in the CloudFormation console")

    def _failures(self, name, stack, began):
        """What failed, in the order that it did: the first is usually the cause."""
        events = self.api.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
        failed = [
            f"{name}: {event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            for event in reversed(events)
            if event["ResourceStatus"].endswith("_FAILED") and event["Timestamp"].timestamp() >= began - 5
        ]
        return [*failed, f"{name}: {stack['StackStatus']}: {stack.get('StackStatusReason', 'no reason given')}"]


def said_of(change):
    """A change in words: `add Tick (Events::Rule)`."""
    verb = {"Add": "add", "Modify": "change", "Remove": "remove"}.get(change["Action"], change["Action"].lower())
    if change.get("Replacement") == "True":
        verb = "replace"
    return f"{verb} {change['LogicalResourceId']} ({change['ResourceType'].removeprefix('AWS::')})"
