"""From a checked syntax tree to closures: one method for each kind of node.

A loop spends for each turn as much as its body has nodes; whatever looks at or makes something large spends for its
size (``values``, ``texts``, ``lists``); the rest of the work is bounded by the number of nodes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from tasks.workflows.expressions import names, values
from tasks.workflows.expressions.binding import Binder, assign
from tasks.workflows.expressions.errors import Absent, Fault
from tasks.workflows.expressions.forms import FORMS
from tasks.workflows.expressions.functions import FUNCTIONS
from tasks.workflows.expressions.operators import BINARY, COMPARISON, negative, positive
from tasks.workflows.expressions.scope import Run, Scope, located
from tasks.workflows.expressions.syntax import count
from tasks.workflows.expressions.values import Value

_LOOPS = 4


class Builder(Binder):
    """Builds the closures of one expression."""

    def build(self, node: ast.AST) -> Run:
        """The closure of a node. Raises InvalidExpression."""
        method: Callable[[Any], Run] = getattr(self, f"_{type(node).__name__.lower()}")
        return method(node)

    def _constant(self, node: ast.Constant) -> Run:
        value = node.value
        if value is not None and not isinstance(value, bool | int | float | str):
            self.refuse(f"{type(value).__name__} is no value of JSON", node)
        if isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
            self.refuse("a character that is not allowed", node)
        if values.is_number(value):
            try:
                values.number(value)
            except Fault as fault:
                self.refuse(str(fault), node)
        return lambda _: value

    def _name(self, node: ast.Name) -> Run:
        name = node.id
        if name in self.bound:
            slot = self.bound[name]
            return lambda scope: scope.variables[slot]
        if name in names.CONSTANTS:
            constant = names.CONSTANTS[name]
            return lambda _: constant
        if name not in self.allowed:
            known = sorted({*self.allowed, *self.bound})
            near = get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            self.refuse(f"unknown name '{name[:80]}'; {hint}", node)
        if name == "steps":
            self.refuse("'steps' is read as steps.<key>.output, with a constant key", node)
        self.reads.add(name)

        def read(scope: Scope) -> Value:
            try:
                return scope.values[name]
            except KeyError:
                raise Absent(f"there is no '{name}' here") from None

        return self.guarded(node, read)

    def _attribute(self, node: ast.Attribute) -> Run:
        return self._step(node) or self._field(node, node.value, node.attr)

    def _subscript(self, node: ast.Subscript) -> Run:
        step = self._step(node)
        if step:
            return step
        if isinstance(node.slice, ast.Slice):
            return self._part(node, node.slice)
        if isinstance(node.slice, ast.Constant):
            return self._field(node, node.value, node.slice.value)
        value, name = self.build(node.value), self.build(node.slice)
        return self.guarded(node, lambda scope: values.field(value(scope), name(scope)))

    def _field(self, node: ast.AST, owner: ast.expr, name: Value) -> Run:
        of_run = isinstance(owner, ast.Name) and owner.id == "run" and "run" in self.allowed
        if of_run and name not in names.RUN_FIELDS:
            self.refuse(f"'run' has no {name!r}; it has {', '.join(sorted(names.RUN_FIELDS))}", node)
        value = self.build(owner)
        return self.guarded(node, lambda scope: values.field(value(scope), name))

    def _step(self, node: ast.expr) -> Run | None:
        """``steps.<key>.<field>``, which is read as one."""
        outer = _constant_field(node)
        inner = outer and _constant_field(outer[0])
        if not outer or not inner or not self._is_steps(inner[0]):
            if outer and self._is_steps(outer[0]):
                self.refuse(f"a step is read as steps.{outer[1]}.output or steps.{outer[1]}.state", node)
            return None
        key, name = inner[1], outer[1]
        if name not in names.STEP_FIELDS:
            self.refuse(f"a step has no {name!r} here; it has output and state", node)
        self.reads.add("steps")
        self.steps.add(key)

        def read(scope: Scope) -> Value:
            try:
                return scope.values["steps"][key][name]
            except KeyError:
                raise Absent(f"there is no {name} of the step '{key}' here") from None

        return self.guarded(node, read)

    def _is_steps(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == "steps" and "steps" in self.allowed

    def _part(self, node: ast.Subscript, piece: ast.Slice) -> Run:
        if piece.step is not None:
            self.refuse("a slice has no step", piece.step)
        value = self.build(node.value)
        start, stop = (self.build(bound) if bound else _nothing for bound in (piece.lower, piece.upper))
        return self.guarded(node, lambda scope: values.part(scope.meter, value(scope), start(scope), stop(scope)))

    def _list(self, node: ast.List | ast.Tuple) -> Run:
        items = [self.build(item) for item in node.elts]
        return lambda scope: [item(scope) for item in items]

    _tuple = _list

    def _dict(self, node: ast.Dict) -> Run:
        if None in node.keys:
            self.refuse("expressions have no '**'; merge() joins objects", node)
        pairs = [
            (self._key(key), self.build(value)) for key, value in zip(node.keys, node.values, strict=True) if key
        ]
        return lambda scope: {key(scope): value(scope) for key, value in pairs}

    def _key(self, node: ast.expr) -> Run:
        key = self.build(node)

        def read(scope: Scope) -> Value:
            name = key(scope)
            if type(name) is not str:
                raise Fault(f"an object's field is named by a text, not by {values.kind(name)}")
            return name

        return self.guarded(node, read)

    def _boolop(self, node: ast.BoolOp) -> Run:
        parts = [self.build(part) for part in node.values]
        until = isinstance(node.op, ast.Or)

        def run(scope: Scope) -> Value:
            value = None
            for part in parts:
                value = part(scope)
                if bool(value) is until:
                    break
            return value

        return run

    def _unaryop(self, node: ast.UnaryOp) -> Run:
        value = self.build(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda scope: not value(scope)
        apply = negative if isinstance(node.op, ast.USub) else positive
        return self.guarded(node, lambda scope: apply(value(scope)))

    def _binop(self, node: ast.BinOp) -> Run:
        left, right, apply = self.build(node.left), self.build(node.right), BINARY[type(node.op)]
        return self.guarded(node.right, lambda scope: apply(scope.meter, left(scope), right(scope)))

    def _compare(self, node: ast.Compare) -> Run:
        for operator, operand in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.Is | ast.IsNot) and not _is_null(operand):
                self.refuse("'is' asks for null alone; write '=='", operand)
        first = self.build(node.left)
        rest = [(COMPARISON[type(op)], self.build(x)) for op, x in zip(node.ops, node.comparators, strict=True)]

        def run(scope: Scope) -> Value:
            left = first(scope)
            for compare, operand in rest:
                right = operand(scope)
                if not compare(scope.meter, left, right):
                    return False
                left = right
            return True

        return self.guarded(node, run)

    def _ifexp(self, node: ast.IfExp) -> Run:
        test, yes, no = self.build(node.test), self.build(node.body), self.build(node.orelse)
        return lambda scope: yes(scope) if test(scope) else no(scope)

    def _call(self, node: ast.Call) -> Run:
        if isinstance(node.func, ast.Name):
            name, arguments = node.func.id, node.args
        elif isinstance(node.func, ast.Attribute):
            name, arguments = node.func.attr, [node.func.value, *node.args]
        else:
            self.refuse("only functions can be called, by their names", node)
        if name in FORMS:
            return FORMS[name](self, node, arguments)
        if name not in FUNCTIONS:
            near = get_close_matches(name, [*FUNCTIONS, *FORMS], 1)
            self.refuse(f"unknown function '{name[:80]}'" + (f"; did you mean '{near[0]}'?" if near else ""), node)
        function = FUNCTIONS[name]
        if not function.least <= len(arguments) <= function.most:
            wanted = (
                str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
            )
            self.refuse(f"'{name}' takes {wanted} values, not {len(arguments)}", node)
        call, given = function.call, [self.build(argument) for argument in arguments]
        return self.guarded(node, lambda scope: call(scope.meter, *[value(scope) for value in given]))

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> Run:
        loops, element = self._loops(node, [node.elt])

        def run(scope: Scope) -> Value:
            made: list[Value] = []
            loops(scope, lambda: made.append(element[0](scope)))
            return made

        return self.guarded(node, run)

    _generatorexp = _listcomp

    def _dictcomp(self, node: ast.DictComp) -> Run:
        loops, (key, value) = self._loops(node, [node.key, node.value])

        def run(scope: Scope) -> Value:
            made: dict[str, Value] = {}

            def add() -> None:
                name = key(scope)
                if type(name) is not str:
                    raise Fault(f"an object's field is named by a text, not by {values.kind(name)}")
                made[name] = value(scope)

            loops(scope, add)
            return made

        return self.guarded(node, run)

    def _loops(
        self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp, made: Sequence[ast.expr]
    ) -> tuple[Callable[[Scope, Callable[[], None]], None], list[Run]]:
        """What runs ``emit`` for each turn of the loops, and what is made in each."""
        if len(node.generators) > _LOOPS:
            self.refuse(f"more than {_LOOPS} loops in one", node)
        outside = dict(self.bound)
        levels = []
        for loop in node.generators:
            over = self.build(loop.iter)
            slots = self.bind(loop.target)
            levels.append((over, slots, [self.build(test) for test in loop.ifs], self.source.offset(loop.iter)))
        elements = [self.build(one) for one in made]
        self.bound = outside
        cost = 1 + sum(map(count, made)) + sum(count(test) for loop in node.generators for test in loop.ifs)
        source = self.source.text

        def turn(scope: Scope, level: int, emit: Callable[[], None]) -> None:
            if level == len(levels):
                emit()
                return
            over, slots, tests, offset = levels[level]
            several = over(scope)
            if type(several) is not list:
                hint = "; items(…) and keys(…) make lists" if type(several) is dict else ""
                raise located(Fault(f"a loop takes a list, not {values.kind(several)}{hint}"), source, offset)
            for item in several:
                scope.meter.spend(cost)
                assign(scope.variables, slots, item)
                if all(test(scope) for test in tests):
                    turn(scope, level + 1, emit)

        return (lambda scope, emit: turn(scope, 0, emit)), elements


def _constant_field(node: ast.AST) -> tuple[ast.expr, str] | None:
    """What a field is read of, and its name, where the name is constant."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return node.value, node.slice.value
    return None


def _is_null(node: ast.expr) -> bool:
    return (isinstance(node, ast.Constant) and node.value is None) or (
        isinstance(node, ast.Name) and node.id == "null"
    )


def _nothing(_: Scope) -> Value:
    return None
