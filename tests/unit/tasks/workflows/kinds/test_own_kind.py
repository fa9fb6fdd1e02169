"""The README's kind of one's own: once its module is imported, definitions may name it and it runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[5]
USE = """
import math, uuid
import paging_kinds
from tasks.workflows.attempt import Attempt
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.parse import parse_definition
steps = [{"key": "wake", "kind": "pager", "with": {"text": "${{ input.who }}"}}]
[step] = parse_definition({"name": "n", "steps": steps}).steps
rendered = KINDS["pager"].render(step.action.arguments, {"input": {"who": "ada"}, "run": {}, "steps": {}})
attempt = Attempt(None, uuid.UUID(int=0), "n", "wake", 1, "c", "ada", math.inf)
print(KINDS.runners["pager"](attempt, rendered))
"""


def test_the_readmes_kind_runs(tmp_path: Path) -> None:
    found = re.search(r"<!-- kind: (\S+) -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / found[1]).write_text(found[2])
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", USE], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "{'told': 'ada', 'once': '00000000-0000-0000-0000-000000000000/wake'}", done.stderr
