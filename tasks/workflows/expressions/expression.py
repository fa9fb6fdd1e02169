"""One expression: compiled once, evaluated as often as needed, within its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tasks.workflows.expressions import names
from tasks.workflows.expressions.building import Builder
from tasks.workflows.expressions.errors import EvaluationError, Fault, LimitExceeded
from tasks.workflows.expressions.limits import DEFAULT, Limits, Meter
from tasks.workflows.expressions.scope import Run, Scope, located
from tasks.workflows.expressions.syntax import parse
from tasks.workflows.expressions.values import Value, check_depth, kind, measure

CACHED_LENGTH = 500  # so that a cache of sources from users stays within some ten megabytes


@dataclass(frozen=True)
class Expression:
    """A compiled expression. ``reads``: the names that it reads; ``steps``: the keys of the steps that it reads."""

    source: str
    reads: frozenset[str]
    steps: frozenset[str]
    _run: Run = field(repr=False, compare=False)
    _variables: int = field(default=0, repr=False)
    _limits: Limits = field(default=DEFAULT, repr=False)

    def evaluate(self, values: Mapping[str, Value], meter: Meter | None = None) -> Value:
        """The value, with ``values`` for the names: JSON's values as ``json.loads`` makes them.

        ``steps`` is a mapping of keys to ``{"output": …, "state": …}``; only the keys in ``self.steps`` are asked
        for. ``meter`` may be shared by several evaluations, to bound them together. Nothing of ``values`` is changed;
        the result may share parts with it.

        Raises EvaluationError: Missing for what does not exist, LimitExceeded for too much work or a result too
        large. Takes at most some hundred milliseconds and some ten megabytes, whatever the source and values.
        """
        meter = meter or Meter(self._limits)
        try:
            value = self._run(Scope(values, self._variables, meter))
            if type(value) in (list, dict):
                measure(meter, value, meter.limits.output)
                check_depth(value, meter.limits.nesting)
        except EvaluationError:
            raise
        except Fault as fault:
            raise located(fault, self.source, 0) from None
        except (RecursionError, MemoryError):
            raise LimitExceeded("the expression takes too much memory", self.source) from None
        return value

    def condition(self, values: Mapping[str, Value], meter: Meter | None = None) -> bool:
        """The value as an answer. Raises EvaluationError as ``evaluate``, and for anything but true, false and null
        (which is false): a text such as "false" would otherwise count as true."""
        value = self.evaluate(values, meter)
        if value is not None and type(value) is not bool:
            raise EvaluationError(f"a condition is true or false, not {kind(value)}", self.source)
        return bool(value)


def compile_expression(source: str, allowed: frozenset[str] = names.STEP, limits: Limits = DEFAULT) -> Expression:
    """Compiles an expression that may read the names ``allowed``; short ones come from a cache.

    Raises InvalidExpression that says what is wrong and where.
    """
    return (_cached if len(source) <= CACHED_LENGTH else _compile)(source, allowed, limits)


def _compile(source: str, allowed: frozenset[str], limits: Limits) -> Expression:
    tree, text = parse(source, limits)
    builder = Builder(text, allowed)
    run = builder.build(tree)
    return Expression(source, frozenset(builder.reads), frozenset(builder.steps), run, builder.variables, limits)


_cached = lru_cache(maxsize=1024)(_compile)
