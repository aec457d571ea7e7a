"""microburst, with what the stories need of it and its version of today lacks: its arguments are microburst's own.

    python -m world.proxy --upstream URL --port PORT --config FILE
"""

from microburst.cli import main
from microburst.forward import Upstream

outbound = Upstream._outbound_headers


def outbound_headers(self, request):
    """The host stays that which the caller signed: MiniStack checks signatures, and another key would hide who called."""
    return outbound(self, request) | {"host": request.headers["Host"]}


Upstream._outbound_headers = outbound_headers

if __name__ == "__main__":
    main()
