"""What is found: said so that it can be mended without looking anything up."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """A fault, where it is, what it is, and who says that it is one."""

    kind: str
    request: str
    place: str
    wrong: str
    source: str

    def __str__(self):
        return f"{self.kind}: {self.request}: {self.place + ': ' if self.place else ''}{self.wrong} ({self.source})"
