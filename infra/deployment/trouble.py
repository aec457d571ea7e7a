"""Errors as a person reads them: what is wrong, and where."""


class Trouble(Exception):
    """One or several problems; each says its place first."""

    def __init__(self, *problems):
        super().__init__("\n".join(problems))
        self.problems = problems


def words_of(error):
    """A botocore error in one line: which call, and what AWS says."""
    from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        return f"AWS: {error.operation_name}: {answer.get('Code', 'error')}: {answer.get('Message', '')}"
    if isinstance(error, NoCredentialsError):
        return "AWS: no credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE"
    if isinstance(error, NoRegionError):
        return "AWS: no region: give --region, or set AWS_REGION"
    if isinstance(error, EndpointConnectionError):
        return f"AWS: nothing answers: {error}"
    return f"AWS: {error}"


def code_of(error):
    """AWS's code of a client error; empty for others."""
    return getattr(error, "response", {}).get("Error", {}).get("Code", "")
