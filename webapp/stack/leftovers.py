"""Finds and ends what an earlier run of the same stack left behind, by pids that it wrote down and by its marker.

Never by name: a process is ours when its recorded pid and start time match, or its environment carries our folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from webapp.stack.folder import StackFolder
from webapp.stack.supervisor import MARKER

_END_WITHIN_S = 8.0


def note_pids(folder: StackFolder, pids: dict[str, int]) -> None:
    """Writes down the pids with their start times, for ``end_leftovers`` of a later run."""
    noted = {}
    for name, pid in pids.items():
        try:
            noted[name] = [pid, psutil.Process(pid).create_time()]
        except psutil.NoSuchProcess:
            continue
    _file(folder).write_text(json.dumps(noted))


def end_leftovers(folder: StackFolder) -> list[int]:
    """Ends (SIGTERM, then SIGKILL) all processes of an earlier run; returns their pids."""
    ours = {process.pid: process for process in [*_noted(folder), *_marked(folder), *_postmaster(folder)]}
    for process in list(ours.values()):
        try:
            ours.update({each.pid: each for each in process.children(recursive=True)})
        except psutil.NoSuchProcess:
            continue
    ours.pop(psutil.Process().pid, None)
    for process in ours.values():
        _send(process, "terminate")
    _, alive = psutil.wait_procs(list(ours.values()), timeout=_END_WITHIN_S)
    for process in alive:
        _send(process, "kill")
    psutil.wait_procs(alive, timeout=_END_WITHIN_S)
    _file(folder).unlink(missing_ok=True)
    return sorted(ours)


def _file(folder: StackFolder) -> Path:
    return folder.path / "pids.json"


def _send(process: psutil.Process, what: str) -> None:
    try:
        getattr(process, what)()
    except psutil.NoSuchProcess:
        return


def _noted(folder: StackFolder) -> list[psutil.Process]:
    try:
        noted = json.loads(_file(folder).read_text())
    except (FileNotFoundError, ValueError):
        return []
    found = []
    for pid, started in noted.values():
        try:
            process = psutil.Process(pid)
            if abs(process.create_time() - started) < 0.05:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def _marked(folder: StackFolder) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(folder.path):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _postmaster(folder: StackFolder) -> list[psutil.Process]:
    data = (folder.path / "postgres" / "data").resolve()
    try:
        process = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        return [process] if str(data) in process.cmdline() else []
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return []
