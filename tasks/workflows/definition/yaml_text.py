"""Reading a definition from YAML: only what JSON can say, and nothing that grows.

Plain scalars mean what they mean in YAML 1.2's core schema, so ``on``, ``yes`` and ``2024-01-01`` are texts; so
is ``12e45``, as in YAML 1.1, since it is a commit more often than a number (``1e+3`` and ``1.0e3`` are numbers). Tags
other than those of JSON's types, merge keys, several documents and keys that are no scalars are mistakes. Anchors and
aliases work; what they stand for counts each time against the limits, so they can't make much of a small text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tasks.workflows.definition.json_text import Unreadable
from tasks.workflows.definition.mistakes import Key
from tasks.workflows.definition.plain import CHARACTERS, DEPTH, NODES

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+][0-9]+)")
_NOT_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DIGITS = 40
_PREFIX = "tag:yaml.org,2002:"
_TAGS = frozenset({"null", "bool", "int", "float", "str", "map", "seq"})
_NO_KEY = object()

Problems = list[tuple[tuple[Key, ...], str]]


@dataclass
class _Frame:
    """An open mapping or list. ``key``: the place that is being filled; ``nodes``, ``characters``: the totals when it
    was opened."""

    made: dict[str, Any] | list[Any]
    anchor: str | None
    nodes: int
    characters: int
    key: Any = _NO_KEY
    seen: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Anchored:
    value: Any
    nodes: int
    characters: int
    depth: int


def read_yaml(text: str) -> tuple[Any, Problems]:
    """The value, and the mistakes that do not keep it from being read. Raises Unreadable for a text that is no YAML,
    is more than one document, or grows too large or deep."""
    reader = _Reader()
    for event in _events(text):
        reader.take(event)
    return reader.value, reader.problems


def places_in_yaml(text: str, wanted: Collection[tuple[Key, ...]]) -> dict[tuple[Key, ...], tuple[int, int]]:
    """Line and column of each of these places that the text itself has (of the key, for a mapping's values; the
    last one where a key stands twice). What stands behind an alias has no place of its own."""
    places: dict[tuple[Key, ...], tuple[int, int]] = {}
    reader = _Reader()
    for event in _events(text):
        path = reader.path_of(event)
        if path is not None and path in wanted:
            line, column = _place_of(event.start_mark)
            places[path] = (line or 1, column or 1)
        reader.take(event)
    return places


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(f"not YAML: {said}", *_place_of(mark)) from None
    except yaml.reader.ReaderError as error:
        # libyaml counts bytes, PyYAML's own reader characters.
        counts_bytes = _LOADER is not yaml.SafeLoader
        before = text.encode()[: error.position].decode(errors="ignore") if counts_bytes else text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise Unreadable(f"not YAML: {error.reason}", line, column) from None


class _Reader:
    """Makes a value of events, one after the other, without recursion."""

    def __init__(self) -> None:
        self.value: Any = None
        self.problems: Problems = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = self._characters = self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Takes the next event. Raises Unreadable."""
        match event:
            case yaml.ScalarEvent():
                self._nodes += 1
                self._characters += len(event.value)
                value = self._scalar(event)
                if event.anchor:
                    self._anchors[event.anchor] = _Anchored(value, 1, len(event.value), 0)
                self._place(value, event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open({} if isinstance(event, yaml.MappingStartEvent) else [], event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _unreadable("a second document", event)
        if self._nodes > NODES or self._characters > CHARACTERS:
            raise _unreadable(f"more than {NODES} values or {CHARACTERS} characters, aliases included", event)

    def path_of(self, event: yaml.Event) -> tuple[Key, ...] | None:
        """The way to what this event begins; None for an event that begins nothing."""
        if not isinstance(event, yaml.NodeEvent):
            return None
        frame = self._frames[-1] if self._frames else None
        if frame is None or type(frame.made) is list:
            return self._path()
        if frame.key is _NO_KEY and isinstance(event, yaml.ScalarEvent):
            return (*self._path(-1), event.value)
        return None

    def _path(self, end: int | None = None) -> tuple[Key, ...]:
        return tuple(len(frame.made) if type(frame.made) is list else frame.key for frame in self._frames[:end])

    def _open(self, made: dict[str, Any] | list[Any], event: yaml.CollectionStartEvent) -> None:
        self._nodes += 1
        self._check_tag(event)
        if self._expects_key():
            raise _unreadable("a key is a text", event)
        if len(self._frames) >= DEPTH:
            raise _unreadable(f"nested deeper than {DEPTH}", event)
        self._frames.append(_Frame(made, event.anchor, self._nodes - 1, self._characters))

    def _close(self) -> None:
        frame = self._frames.pop()
        if frame.anchor:
            nodes, characters = self._nodes - frame.nodes, self._characters - frame.characters
            self._anchors[frame.anchor] = _Anchored(frame.made, nodes, characters, _depth(frame.made))
        self._place(frame.made, None)

    def _alias(self, event: yaml.AliasEvent) -> None:
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            raise _unreadable(f"there is no anchor '{event.anchor}' before this alias", event)
        self._nodes += anchored.nodes
        self._characters += anchored.characters
        if len(self._frames) + anchored.depth > DEPTH:
            raise _unreadable(f"nested deeper than {DEPTH}", event)
        self._place(anchored.value, event)

    def _expects_key(self) -> bool:
        return bool(self._frames) and type(self._frames[-1].made) is dict and self._frames[-1].key is _NO_KEY

    def _place(self, value: Any, event: yaml.Event | None) -> None:
        """Puts a value where it belongs: the document, a list, a mapping's key or its value."""
        if not self._frames:
            self.value = value
            return
        frame = self._frames[-1]
        if type(frame.made) is list:
            frame.made.append(value)
        elif frame.key is _NO_KEY:
            frame.key = self._key(frame, value, event)
        elif type(frame.made) is dict:
            frame.made.setdefault(frame.key, value)
            frame.key = _NO_KEY

    def _key(self, frame: _Frame, value: Any, event: yaml.Event | None) -> str:
        # A key that looks like a number or null is the text that stands there, as it would be in JSON.
        key = event.value if isinstance(event, yaml.ScalarEvent) else value
        if not isinstance(key, str):
            raise _unreadable("a key is a text", event)
        if key in frame.seen:
            self.problems.append(((*self._path(-1), key), "the key stands here twice"))
        if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            self.problems.append(((*self._path(-1), key), "merge keys are not known; write an alias as a value"))
        frame.seen.add(key)
        return key

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if event.tag is None or event.tag == "!":
            return self._plain(text) if event.implicit[0] and event.tag is None else text
        kind = self._check_tag(event)
        if kind in ("str", None) or self._expects_key():
            return text
        value = self._plain(text)
        if kind != {type(None): "null", bool: "bool", int: "int", float: "float"}.get(type(value)):
            if kind == "float" and type(value) is int:
                return float(value)
            self._problem(f"not a value of the tag !!{kind}")
        return value

    def _plain(self, text: str) -> Any:
        """What a plain scalar means."""
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if text[0] not in "0123456789+-.":
            return text
        if _INTEGER.fullmatch(text):
            if len(text) <= _DIGITS:
                return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
        elif _FLOAT.fullmatch(text):
            value = float(text)
            if math.isfinite(value):
                return value
        elif not _NOT_JSON.fullmatch(text):
            return text
        self._problem("a number that JSON does not have")
        return None

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> str | None:
        """The name of a known tag; notes an unknown one."""
        tag: str | None = event.tag
        if tag is None or tag == "!":
            return None
        kind = tag.removeprefix(_PREFIX)
        if kind in _TAGS and tag.startswith(_PREFIX):
            return kind
        self._problem(f"the tag {tag[:80]!r} is not known; JSON's types need none")
        return None

    def _problem(self, detail: str) -> None:
        self.problems.append((self._path(-1) if self._expects_key() else self._path(), detail))


def _depth(value: Any) -> int:
    """How deep lists and mappings are nested in a value, itself included."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for part in level
            for inner in (part.values() if type(part) is dict else part)
            if type(inner) in (dict, list)
        ]
    return depth


def _unreadable(detail: str, event: yaml.Event | None) -> Unreadable:
    return Unreadable(detail, *_place_of(event.start_mark if event else None))


def _place_of(mark: Any) -> tuple[int | None, int | None]:
    """Line and column from 1."""
    return (mark.line + 1, mark.column + 1) if mark else (None, None)
