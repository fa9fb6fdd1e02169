"""Asks a question in a process of its own, for tests that kill it: the prompt, the seconds it may take."""

from __future__ import annotations

import sys

from tasks.lab.asking import AskRequest
from tasks.lab.service import lab_of
from tasks.runtime import Runtime
from tasks.settings import load_settings

if __name__ == "__main__":
    print(lab_of(Runtime(load_settings(), "test")).ask(AskRequest(sys.argv[1]), float(sys.argv[2])).text)
