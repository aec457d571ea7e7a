"""What has been changed so far, and what is being changed: so that whoever is interrupted is told the truth."""

from contextlib import contextmanager


class Progress:
    """`changed` counts what was changed, and `under_way` is what may be half done."""

    def __init__(self, say):
        self.say = say
        self.done = []
        self.under_way = None

    @contextmanager
    def changing(self, what, done):
        """While `what` is being changed. An error, or an interruption, leaves it under way."""
        self.under_way = what
        yield
        self.under_way = None
        self.done.append(done)

    @contextmanager
    def trying(self, what):
        """The same for what may turn out to be as it should be already: whoever tries says what was done."""
        self.under_way = what
        yield
        self.under_way = None

    def stopped(self):
        """The end of a run that did not come to its end, in words."""
        said = []
        if self.done:
            said.append(f"done before that: {'; '.join(self.done)}")
        if self.under_way:
            said.append(f"under way, and perhaps half done: {self.under_way}")
        if not said:
            return "nothing was changed before that"
        return ". ".join(said) + ". Run it again to go on."
