"""Templates: texts with ``${{ expressions }}`` in them, and whole trees of JSON values that hold such texts."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import Excess, Fault, InvalidExpression
from tasks.workflows.expressions.expression import CACHED_LENGTH, Expression, compile_expression
from tasks.workflows.expressions.limits import DEFAULT, Limits, Meter
from tasks.workflows.expressions.scan import scan
from tasks.workflows.expressions.scope import located
from tasks.workflows.expressions.values import Value, measure, text

OPENING = "${{"
# One path alone, as most templates are: then what it reads can be told without compiling it.
_PATH = re.compile(r"\$\{\{ *([a-z]+)((?:\.[A-Za-z_][A-Za-z0-9_]*)*) *\}\}")
_ESCAPED = "$" + OPENING
_WORDS = frozenset(keyword.kwlist)
_FIELDS = 20


@dataclass(frozen=True)
class Template:
    """Plain texts and expressions, one after the other. ``exact``: one expression and nothing else."""

    source: str
    parts: tuple[str | Expression, ...]

    @property
    def exact(self) -> bool:
        """Whether the template takes its expression's value with its type."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Expression)

    def expressions(self) -> Iterator[Expression]:
        """The expressions, in order."""
        return (part for part in self.parts if isinstance(part, Expression))

    def render(self, values: Mapping[str, Value], meter: Meter | None = None) -> Value:
        """The value of an exact template's expression, else a text: null becomes nothing, true ``true``, lists and
        objects JSON. Raises EvaluationError as ``Expression.evaluate``."""
        meter = meter or Meter()
        first = self.parts[0] if self.parts else ""
        if len(self.parts) == 1:
            return first.evaluate(values, meter) if isinstance(first, Expression) else first
        pieces: list[str] = []
        length = 0
        for part in self.parts:
            source = self.source if isinstance(part, str) else part.source
            try:
                piece = part if isinstance(part, str) else text(meter, part.evaluate(values, meter))
                length += len(piece)
                meter.write(length)
            except Fault as fault:
                raise located(fault, source, 0) from None
            pieces.append(piece)
        return "".join(pieces)


def is_template(source: str) -> bool:
    """Whether a text is more than itself."""
    return OPENING in source


def step_of_path(source: str, allowed: frozenset[str]) -> str | None:
    """What a template reads that is nothing but a valid path: the key of a step, or the empty text for another name.
    None where that can't be told at a glance; then ``compile_template`` tells."""
    found = _PATH.fullmatch(source)
    if not found or found[1] not in allowed:
        return None
    name, fields = found[1], found[2].split(".")[1:]
    if len(fields) > _FIELDS or not _WORDS.isdisjoint(fields):
        return None
    if name == "steps":
        return fields[0] if len(fields) > 1 and fields[1] in names.STEP_FIELDS else None
    if name == "run" and fields and fields[0] not in names.RUN_FIELDS:
        return None
    return ""


def compile_template(source: str, allowed: frozenset[str] = names.STEP, limits: Limits = DEFAULT) -> Template:
    """Compiles a text; short ones come from a cache. Raises InvalidExpression, whose offset counts in the whole
    text."""
    return (_cached if len(source) <= CACHED_LENGTH else _parse)(source, allowed, limits)


def _parse(source: str, allowed: frozenset[str], limits: Limits) -> Template:
    parts: list[str | Expression] = []
    plain, at = "", 0
    while True:
        found = source.find(OPENING, at)
        if found < 0:
            break
        if found and source.startswith(_ESCAPED, found - 1):
            plain += source[at : found - 1] + OPENING
            at = found + len(OPENING)
            continue
        plain += source[at:found]
        start = found + len(OPENING)
        end = scan(source, limits, start, template=True)
        if plain:
            parts.append(plain)
        plain = ""
        parts.append(_expression(source, start, end, allowed, limits))
        if len(parts) > limits.nodes:
            raise InvalidExpression(f"a template of more than {limits.nodes} parts", source, found)
        at = end + 2
    plain += source[at:]
    if plain or not parts:
        parts.append(plain)
    return Template(source, tuple(parts))


_cached = lru_cache(maxsize=1024)(_parse)


def _expression(source: str, start: int, end: int, allowed: frozenset[str], limits: Limits) -> Expression:
    inner = source[start:end]
    shift = start + len(inner) - len(inner.lstrip())
    try:
        return compile_expression(inner.strip(), allowed, limits)
    except InvalidExpression as error:
        raise InvalidExpression(error.reason, source, shift + error.offset) from None


def compile_condition(source: str, allowed: frozenset[str] = names.STEP, limits: Limits = DEFAULT) -> Expression:
    """Compiles what stands where an expression alone is meant (``when``, ``over``): as it is, or in one ``${{ }}``.

    Raises InvalidExpression, whose offset counts in the whole text.
    """
    start = len(source) - len(source.lstrip())
    if source.startswith(OPENING, start):
        inner = start + len(OPENING)
        end = scan(source, limits, inner, template=True)
        if source[end + 2 :].strip():
            raise InvalidExpression("an expression alone is needed, not a text around it", source, end + 2)
        return _expression(source, inner, end, allowed, limits)
    return _expression(source, 0, len(source), allowed, limits)


@dataclass(frozen=True)
class Tree:
    """A JSON value whose texts may be templates. ``steps``: the keys of the steps that they read."""

    value: Value
    steps: frozenset[str]
    reads: frozenset[str]
    _render: Callable[[Mapping[str, Value], Meter], Value]

    def render(self, values: Mapping[str, Value], meter: Meter | None = None) -> Value:
        """The value with all of its templates rendered, all within one meter and within its limit of output.

        Parts without templates are shared with ``value``: nothing may be changed in place. Raises EvaluationError.
        """
        meter = meter or Meter()
        rendered = self._render(values, meter)
        if self.reads:
            try:
                measure(meter, rendered, meter.limits.output)
            except Excess as fault:
                raise located(fault, "", 0) from None
        return rendered


def compile_tree(value: Value, allowed: frozenset[str] = names.STEP, limits: Limits = DEFAULT) -> Tree:
    """Compiles all templates in the values of a tree (not in its keys); its depth is the caller's to bound.

    Raises InvalidExpression for the first mistake.
    """
    found: list[Expression] = []
    render = _compile(value, allowed, limits, found) or (lambda *_: value)
    steps = frozenset().union(*(one.steps for one in found))
    return Tree(value, steps, frozenset().union(*(one.reads for one in found)), render)


def _compile(
    value: Value, allowed: frozenset[str], limits: Limits, found: list[Expression]
) -> Callable[[Mapping[str, Value], Meter], Value] | None:
    """What renders the value; None where nothing in it is a template."""
    if type(value) is str and is_template(value):
        template = compile_template(value, allowed, limits)
        found += template.expressions()
        return template.render
    if type(value) is list:
        items = [(part, _compile(part, allowed, limits, found)) for part in value]
        if any(render for _, render in items):
            return lambda values, meter: [part if render is None else render(values, meter) for part, render in items]
    if type(value) is dict:
        fields = [(key, part, _compile(part, allowed, limits, found)) for key, part in value.items()]
        if any(render for *_, render in fields):
            return lambda values, meter: {
                key: part if render is None else render(values, meter) for key, part, render in fields
            }
    return None
