"""Runs the sides of a bench in turn (A B A B …), so that what drifts on a shared machine drifts for all of them."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from tests.bench.model import Plan, Round, Side


def in_turn(sides: Sequence[Side], plan: Plan, *, warm_up: bool = True) -> list[Round]:
    """One ``Round`` for each of ``plan.pairs``. First each side runs once unmeasured, except in a smoke run."""
    if warm_up and not plan.smoke:
        for side in sides:
            plan.say(f"  warm-up  {side.name}")
            side.run()
    rounds: list[Round] = []
    for number in range(1, plan.pairs + 1):
        rounds.append({})
        for side in sides:
            gc.collect()
            sample = side.run()
            rounds[-1][side.name] = sample
            figures = ", ".join(f"{metric} {value:,.4g}" for metric, value in sample.items())
            plan.say(f"  {number} of {plan.pairs}   {side.name}: {figures}")
    return rounds
