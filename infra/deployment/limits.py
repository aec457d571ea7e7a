"""What a region or a new account does not have yet: looked at before anything is changed, said, and worked around or not."""

from botocore.exceptions import BotoCoreError, ClientError

from .trouble import code_of, words_of

# Regions whose CloudFormation knows no AWS::Lambda::Url (its resource specification; a story holds this list against it).
WITHOUT_FUNCTION_URLS = {
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "cn-northwest-1",
    "eu-central-2",
    "il-central-1",
    "me-central-1",
    "mx-central-1",
    "us-gov-east-1",
    "us-gov-west-1",
}
# A new account begins with 10 (Lambda developer guide, "Lambda quotas"). Five functions, each with an event, a tick and two
# pollers of its queue at the same time, have need of twice that.
LEAST_CONCURRENCY = 20


def look(session, fleets, account):
    account.has_function_urls = account.region not in WITHOUT_FUNCTION_URLS
    if not account.has_function_urls:
        account.notes.append(
            f"{account.region} has no function URLs: the page gets no address there; put an API Gateway or a load balancer in front "
            "of the function livefeed. All else is deployed"
        )
    if account.partition != "aws":
        account.notes.append(f"partition {account.partition}: names are built for it, but nothing was ever tried there")
    look_at_concurrency(session, account)
    look_at_linked_roles(session, fleets, account)


def look_at_concurrency(session, account):
    try:
        found = session.client("lambda").get_account_settings()["AccountLimit"]
    except (ClientError, BotoCoreError) as error:
        account.notes.append(f"Lambda's concurrency was not looked at: {words_of(error)}")
        return
    free = found.get("UnreservedConcurrentExecutions", found.get("ConcurrentExecutions", LEAST_CONCURRENCY))
    if free < LEAST_CONCURRENCY:
        account.notes.append(
            f"Lambda runs no more than {free} calls at once in this account, for all functions together: turns may be throttled; "
            f"`aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
            f"--desired-value 1000 --region {account.region}`"
        )


def look_at_linked_roles(session, fleets, account):
    """EC2 makes its role for spot when a person first asks for spot in the console; a group that was made by a tool has none
    (EC2 user guide, "Service-linked role for Spot Instance requests")."""
    if not any(pool["purchase"] in ("spot", "mixed") for fleet in fleets for pool in fleet.data["pool"]):
        return
    try:
        session.client("iam").get_role(RoleName="AWSServiceRoleForEC2Spot")
    except (ClientError, BotoCoreError) as error:
        if code_of(error) == "NoSuchEntity":
            account.notes.append(
                "this account has never asked for spot hosts (no role AWSServiceRoleForEC2Spot), and its first request fails: "
                "`aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`"
            )
        else:
            account.notes.append(f"whether the account may ask for spot hosts was not looked at: {words_of(error)}")
