"""A step of a campaign: `bench` with the given arguments, in a process that ends with its parent.

    python -m bench.cli._child train at --seed 0

Standard input is a pipe from the parent. When the parent dies, by any signal, the pipe closes and
this process kills itself, which is safe because commands can be killed at any time.
"""

import os
import signal
import sys
import threading

from bench.cli import main


def _exit_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    main(sys.argv[1:])
