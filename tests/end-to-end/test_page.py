"""The page: through its own role, with the ledger's views, and with nothing else."""

import base64
import json

import pytest
from cloud import eventually

pytestmark = pytest.mark.calm


@pytest.fixture(autouse=True)
def with_livefeed(functions):
    if "livefeed" not in functions:
        pytest.skip("livefeed is not built")


def get(story, path, headers=None):
    """A request as a function URL hands it over (Lambda developer guide, "Invoking function URLs")."""
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "page", **(headers or {})},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "page",
            "domainName": "page",
            "domainPrefix": "page",
            "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"},
            "requestId": "1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "05/Jan/2026:09:00:00 +0000",
            "timeEpoch": 1767603600000,
        },
        "isBase64Encoded": False,
    }
    error, said = story.deployed.invoke("livefeed", event)
    assert error is None, said
    body = said.get("body") or ""
    return said, base64.b64decode(body).decode() if said.get("isBase64Encoded") else body


def test_the_page_shows_the_fleet(story):
    story.shop_at_rest()
    said, page = get(story, "/")
    assert said["statusCode"] == 200 and "<html" in page.lower(), said
    said, view = get(story, "/api/view")
    assert said["statusCode"] == 200, said
    seen = json.loads(view)
    assert seen["fleet"] == "shop"
    assert {host["id"] for host in seen["hosts"]} == set(story.shop.members())

    def same_again():
        """Between two turns it costs no body."""
        said, _ = get(story, "/api/view")
        tag = {name.lower(): value for name, value in said["headers"].items()}["etag"]
        return get(story, "/api/view", {"if-none-match": tag})[0]["statusCode"] == 304

    eventually(same_again, 10, "304")
    story.until(lambda: story.deployed.items("depot", "view#"), 30, "a turn of the other fleet")
    said, view = get(story, "/fleets/depot/api/view")
    assert said["statusCode"] == 200, said
    assert json.loads(get(story, "/fleets/depot/api/view")[1])["fleet"] == "depot"


def test_the_page_asks_for_iam_and_has_no_buttons(story):
    url = story.cloud.client("lambda").get_function_url_config(FunctionName="keel-livefeed")
    assert url["AuthType"] == "AWS_IAM"
    for path in ("/api/spike", "/api/roll", "/world/reset"):
        assert get(story, path)[0]["statusCode"] == 404, path
