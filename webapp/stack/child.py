"""Runs a command that dies with its parent: ``python child.py SIGNAL UID GID COMMAND…``.

Linux sends the signal (prctl(2), PR_SET_PDEATHSIG), so that kill -9 of the parent leaves nothing behind. The
identity is given up first, since changing it clears the signal. UID and GID ``-`` mean: stay as you are.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Becomes the command; does not return."""
    death, uid, gid, *command = arguments
    parent = os.getppid()
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
        os.chdir("/")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.Signals[death])
        if os.getppid() != parent:
            sys.exit("the parent is gone already")
    os.execvp(command[0], command)  # noqa: S606 - this is the module's job


if __name__ == "__main__":
    main(sys.argv[1:])
