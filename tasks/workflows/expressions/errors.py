"""What can be wrong with an expression, before it runs and while it runs."""

from __future__ import annotations

from tasks.errors import BridgeError


class ExpressionError(BridgeError):
    """The root of this language's errors. ``offset`` counts characters in ``source``, from 0."""

    code = "EXPRESSION_1"
    status = 422
    title = "Expression error"

    def __init__(self, detail: str, source: str = "", offset: int = 0) -> None:
        self.reason, self.source, self.offset = detail, source, offset
        super().__init__(
            f"{detail} (at character {offset + 1} of {_excerpt(source, offset)!r})" if source else detail
        )


class InvalidExpression(ExpressionError):
    """The source is not of the language, or reads what it may not."""

    code = "EXPRESSION_2"
    title = "Invalid expression"


class EvaluationError(ExpressionError):
    """The expression can't be evaluated with these values."""

    code = "EXPRESSION_3"
    title = "Expression could not be evaluated"


class Missing(EvaluationError):
    """A field, item or output that is read does not exist; ``default`` and ``has`` ask first."""

    code = "EXPRESSION_4"
    title = "Expression reads what does not exist"


class LimitExceeded(EvaluationError):
    """The expression costs more, or makes more, than it may."""

    code = "EXPRESSION_5"
    title = "Expression exceeds its limits"


class Fault(Exception):
    """Raised by operators and functions, which do not know where they stand; the compiler adds that."""


class Absent(Fault):
    """The fault of something that does not exist."""


class Excess(Fault):
    """The fault of a limit that is exceeded."""


def _excerpt(source: str, offset: int) -> str:
    """The source around the place, on one line."""
    start = max(0, offset - 40)
    text = " ".join(source[start : offset + 40].split())
    return ("…" if start else "") + text + ("…" if offset + 40 < len(source) else "")
