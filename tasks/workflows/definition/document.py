"""A definition as it comes in, from text or from an API, as plain values that know their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import TooLarge
from tasks.utf8 import place_of
from tasks.workflows.definition.json_text import Unreadable, places_in_json, read_json
from tasks.workflows.definition.mistakes import InvalidDefinition, Key, Mistake, Report, pointer
from tasks.workflows.definition.plain import TooMuch, check_plain
from tasks.workflows.definition.yaml_text import places_in_yaml, read_yaml

BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Document:
    """Plain values. ``text``, ``format``: what they were read from, if they were."""

    value: Any
    text: str | None = None
    format: str | None = None

    def refusal(self, report: Report) -> InvalidDefinition:
        """The error that tells all mistakes of the report, in the order of the text."""
        wanted = {keys for keys, _ in report.found}
        if self.text is None:
            places: dict[tuple[Key, ...], tuple[int, int]] = {}
        else:
            # A place that is missing is told by the nearest one around it.
            around = {keys[:end] for keys in wanted for end in range(len(keys) + 1)}
            found = (places_in_yaml if self.format == "yaml" else places_in_json)(self.text, around)
            # A text without any value has no place either.
            places = {(): (1, 1), **found}
        mistakes = [Mistake(pointer(keys), detail, *_nearest(keys, places)) for keys, detail in report.found]
        if places:
            mistakes.sort(key=lambda mistake: (mistake.line or 0, mistake.column or 0))
        if report.left_out:
            mistakes.append(Mistake("", f"and {report.left_out} more mistakes"))
        return InvalidDefinition(mistakes)


def read_document(source: Any, report: Report) -> Document:
    """Reads YAML or JSON text (what begins with ``{`` and is JSON is read as JSON), or takes a value that
    was parsed already.

    Notes in the report what is wrong and can be read past. Raises InvalidDefinition where the rest can't be read, and
    TooLarge for a text of more than ``BYTES``.
    """
    document = _read(source, report)
    try:
        check_plain(document.value, report)
    except TooMuch:
        raise document.refusal(report) from None
    return document


def _read(source: Any, report: Report) -> Document:
    if not isinstance(source, str | bytes):
        return Document(source)
    if len(source) > BYTES:
        raise TooLarge(f"A definition has at most {BYTES} bytes.")
    try:
        text = source.decode("utf-8-sig") if isinstance(source, bytes) else source.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        detail = f"not UTF-8: {error.reason} at byte {error.start}"
        raise InvalidDefinition([Mistake("", detail, *place_of(error))]) from None
    try:
        value, form, mistakes = _parse(text)
    except Unreadable as error:
        raise InvalidDefinition([Mistake("", error.detail, error.line, error.column)]) from None
    for path, detail in mistakes:
        report.add(path, detail)
    return Document(value, text, form)


def _parse(text: str) -> tuple[Any, str, list[tuple[tuple[Key, ...], str]]]:
    if not text.lstrip().startswith("{"):
        return _yaml(text)
    try:
        value, mistakes = read_json(text)
    except Unreadable as json_error:
        try:
            return _yaml(text)
        except Unreadable:
            raise json_error from None
    return value, "json", mistakes


def _yaml(text: str) -> tuple[Any, str, list[tuple[tuple[Key, ...], str]]]:
    value, mistakes = read_yaml(text)
    return value, "yaml", mistakes


def _nearest(
    keys: tuple[Key, ...], places: Mapping[tuple[Key, ...], tuple[int, int]]
) -> tuple[int | None, int | None]:
    for end in range(len(keys), -1, -1):
        if keys[:end] in places:
            return places[keys[:end]]
    return None, None
