"""The ledger's table where the stack did not make it: left by an earlier deployment, or by a creation that failed."""

import time

from botocore.exceptions import ClientError

from .trouble import Trouble, code_of

# The longest that a table may take to be made or to go.
LONGEST = 300
TTL = {"AttributeName": "ttl", "Enabled": True}


def there(api, name):
    """Whether there is one; one that is going is waited for."""
    until = time.time() + LONGEST
    while time.time() < until:
        try:
            status = api.describe_table(TableName=name)["Table"]["TableStatus"]
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return False
            raise
        if status not in ("CREATING", "DELETING"):
            return True
        time.sleep(2)
    raise Trouble(f"table {name}: neither there nor gone in {LONGEST} s")


def forgets(api, name):
    """Whether its items end at their time."""
    found = api.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") and found.get("AttributeName") == TTL["AttributeName"]


def let_forget(api, name):
    """A creation that was taken back may have left it without (DynamoDB takes such a change once an hour)."""
    api.update_time_to_live(TableName=name, TimeToLiveSpecification=TTL)
