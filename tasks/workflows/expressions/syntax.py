"""From the source of an expression to a syntax tree that is small, shallow, and only of nodes that are allowed."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from typing import NoReturn

from tasks.workflows.expressions.errors import InvalidExpression
from tasks.workflows.expressions.limits import Limits
from tasks.workflows.expressions.scan import scan

_REFUSED: Mapping[type[ast.AST], str] = {
    ast.JoinedStr: "an f-string; write a template, or 'a' + str(b)",
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment",
    ast.Starred: "'*'",
    ast.Set: "a set; write a list",
    ast.SetComp: "a set; write a list",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.keyword: "a named argument",
    ast.Pow: "'**'",
    ast.MatMult: "'@'",
    ast.LShift: "'<<'",
    ast.RShift: "'>>'",
    ast.BitOr: "'|'; 'or' chooses, merge() joins objects",
    ast.BitAnd: "'&'; write 'and'",
    ast.BitXor: "'^'",
    ast.Invert: "'~'; write 'not'",
}
_ALLOWED: frozenset[type[ast.AST]] = frozenset(
    {
        *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.List, ast.Tuple, ast.Dict),
        *(ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.IfExp, ast.Call),
        *(ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.comprehension),
    }
)
_LEAVES: frozenset[type[ast.AST]] = frozenset(
    {
        *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Not, ast.USub, ast.UAdd, ast.And, ast.Or),
        *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn),
        *(ast.Load, ast.Store),
    }
)
_WORD_AS_FIELD = re.compile(rf"\.\s*({'|'.join(keyword.kwlist)})\b")
_BRANCHES = (ast.expr, ast.comprehension)


class Source:
    """The text of one expression, and where the nodes of its tree stand in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        # The parser takes line breaks inside brackets only, and knows three kinds of them.
        self.wrapped = "(" + text.replace("\r", " ") + "\n)"
        self._lines = self.wrapped.split("\n")

    def offset(self, node: ast.AST) -> int:
        """Where the node begins in the text, in characters from 0."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        text = self._lines[line - 1]
        return self._place(line, column if text.isascii() else len(text.encode()[:column].decode(errors="ignore")))

    def place_of(self, error: SyntaxError) -> int:
        """Where the parser stopped."""
        return self._place(error.lineno or 1, (error.offset or 1) - 1)

    def _place(self, line: int, column: int) -> int:
        start = sum(len(text) + 1 for text in self._lines[: line - 1]) if line > 1 else 0
        return min(max(0, start + column - 1), len(self.text))


def parse(text: str, limits: Limits) -> tuple[ast.expr, Source]:
    """The tree of an expression. Raises InvalidExpression that says what is wrong and where."""
    if not text.strip():
        raise InvalidExpression("an empty expression", text)
    scan(text, limits)
    source = Source(text)
    try:
        tree = ast.parse(source.wrapped, mode="eval").body
    except SyntaxError as error:
        raise InvalidExpression(_reason(error, source), text, source.place_of(error)) from None
    except (ValueError, RecursionError, MemoryError):
        raise InvalidExpression("not an expression, or nested too deeply", text) from None
    _check(tree, source, limits)
    return tree, source


def _reason(error: SyntaxError, source: Source) -> str:
    word = _WORD_AS_FIELD.search(source.text)
    return f"{error.msg}; '.{word[1]}' is written ['{word[1]}']" if word else str(error.msg)


def count(tree: ast.AST) -> int:
    """How many nodes a tree has, those aside that stand for no work."""
    return sum(1 for node in ast.walk(tree) if isinstance(node, ast.expr))


def _check(tree: ast.expr, source: Source, limits: Limits) -> None:
    nodes, depth = 0, 0
    level: list[ast.AST] = [tree]
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        if nodes > limits.nodes or depth > limits.depth:
            raise InvalidExpression(
                f"an expression of more than {limits.nodes} parts, or nested deeper than {limits.depth}", source.text
            )
        below: list[ast.AST] = []
        for node in level:
            if type(node) not in _ALLOWED or getattr(node, "is_async", False):
                _refuse(node, node, source)
            for name in node._fields:
                value = getattr(node, name)
                for child in value if isinstance(value, list) else (value,):
                    if isinstance(child, _BRANCHES):
                        below.append(child)
                    elif isinstance(child, ast.AST) and type(child) not in _LEAVES:
                        _refuse(child, node, source)
        level = below


def _refuse(node: ast.AST, at: ast.AST, source: Source) -> NoReturn:
    what = _REFUSED.get(type(node), type(node).__name__)
    raise InvalidExpression(f"expressions don't take {what}", source.text, source.offset(at))
