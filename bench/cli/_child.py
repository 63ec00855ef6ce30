"""A step of a campaign: `bench` with the words that follow, in a process that ends with its parent.

    python -m bench.cli._child train at --seed 0

Standard input is a pipe whose other end the parent holds. When the parent dies, by whatever signal,
the pipe closes and this process kills itself; its command can be killed at any instant.
"""

import os
import signal
import sys
import threading

from bench.cli import main


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_watch, daemon=True).start()
    main(sys.argv[1:])
