"""The account and region that everything here is in."""

ACCOUNT = "123456789012"
REGION = "us-east-1"
