"""Lists in pieces, for calls that take only so many names."""


def chunks(items, size):
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
