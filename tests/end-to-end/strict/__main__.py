"""Judges recordings by themselves: `python -m strict FILE...`, each line as world/recorder.py writes it.

What is found is said, and makes the exit code 1; what is known is left out. Roles are not judged, because a recording has none.
A line whose `answer` is null is a request alone: only what is asked is judged, not what is sent twice.
"""

import sys
from pathlib import Path

from . import known
from .wire import Wire

wire = Wire(map(Path, sys.argv[1:]))
fresh, seen = known.split(wire.judge({})[0])
print(*fresh, sep="\n")
print(f"{wire.calls} calls, {len(fresh)} findings, {len(seen)} known")
sys.exit(bool(fresh))
