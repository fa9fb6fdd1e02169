"""Does what a batch of commands asks for, once: runs, answers and positions are one transaction.

An answer is a journal row, so it is as durable as the run, and the relay brings it to ``rsp.…`` under the command's
correlation id. A command that comes again (the same event id) is answered again, with the same run. What is no
command goes to the dead letters before the position moves past it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridges.commands import positions
from bridges.commands.model import EXECUTE, Command
from bridges.commands.positions import Positions
from bridges.kafka.connection import SinkUnavailable
from bridges.kafka.consumer import InRecord
from bridges.kafka.dead_letters import dead_letter
from bridges.kafka.producer import OutRecord
from bridges.relay.sink import connect
from tasks.db.pool import Database, Transaction
from tasks.errors import BridgeError, MalformedInput, NotFound, ValidationFailed
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.settings import Settings
from tasks.workflows.beginning import NotBegun, begin
from tasks.workflows.definition.context import Known
from tasks.workflows.definition.mistakes import told
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submitted

log = logging.getLogger(__name__)

AGGREGATE = "command"
_DEAD_LETTERS_WITHIN_S = 15.0
_MOST_ERRORS = 100


class CommandHandler:
    """Works off batches of records from the topics of commands; ``kinds`` says by topic which commands they hold."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        workflows: WorkflowService,
        known: Callable[[], Known],
        kinds: Mapping[str, str],
    ) -> None:
        self._db = db
        self._settings = settings
        self._workflows = workflows
        self._known = known
        self._kinds = kinds

    def handle(self, records: Sequence[InRecord], old: Positions) -> Positions:
        """Does what the records ask for, and returns the positions after them.

        Raises:
            SinkUnavailable: dead letters could not be sent; nothing was done.
            PositionLost: another listener goes on from here; nothing was done.
            DatabaseUnavailable, DatabaseBusy: nothing was done, or all of it: the positions tell.
        """
        commands, letters = self._sorted(records)
        if letters:
            self._bury(letters)
        new = {**old}
        for record in records:
            new[record.topic, record.partition] = record.offset + 1
        moved = {where: offset for where, offset in new.items() if old[where] != offset}
        with self._db.transaction() as tx:
            positions.move(tx, {where: old[where] for where in moved}, moved)
            answers = [(command, self._answer(tx, command)) for command in commands]
            append(tx, _events(tx, answers))
        return new

    def _sorted(self, records: Sequence[InRecord]) -> tuple[list[Command], list[OutRecord]]:
        commands: list[Command] = []
        letters: list[OutRecord] = []
        for record in records:
            try:
                commands.append(Command.of_record(record, self._kinds[record.topic], self._settings.environment))
            except (MalformedInput, ValidationFailed) as problem:
                key = None if record.key is None else record.key.decode("utf-8", "replace")
                letters.append(dead_letter(record.topic, key, record.value, problem.detail))
        return commands, letters

    def _bury(self, letters: Sequence[OutRecord]) -> None:
        log.warning("commands-not-valid", extra={"count": len(letters)})
        sink = connect(self._settings)
        try:
            sink.admin.ensure({letter.topic for letter in letters})
            delivery = sink.producer.publish(letters)
            done = delivery.wait(_DEAD_LETTERS_WITHIN_S, hurry=True)
            failure = delivery.failure()
            if failure is not None or not done:
                raise SinkUnavailable(f"Kafka did not take dead letters: {failure.reason if failure else 'too slow'}")
        finally:
            sink.close()

    def _answer(self, tx: Transaction, command: Command) -> dict[str, Any]:
        if command.kind != EXECUTE:
            return self._status(command)
        try:
            run = begin(tx, self._workflows, lambda: command.submission(self._known()))
        except NotBegun as refusal:
            return _problem(refusal.problem or BridgeError(refusal.reason))
        if not run.duplicate:
            tx.after_commit(self._hint, run)
        return {
            "workflow_id": str(run.run_id),
            "status": run.state,
            "message": "Run accepted before; this is the same one." if run.duplicate else "Run accepted.",
            "duplicate": run.duplicate,
            "name": run.name,
            "version": run.version,
        }

    def _status(self, command: Command) -> dict[str, Any]:
        try:
            return self._workflows.reading.status(command.run_id())
        except (NotFound, ValidationFailed) as problem:
            return _problem(problem)

    def _hint(self, made: list[Submitted]) -> None:
        self._workflows.hint({run.run_id: run.priority for run in made})


def _problem(problem: BridgeError) -> dict[str, Any]:
    """What the HTTP endpoint would have answered (RFC 9457), without the place."""
    return {
        "type": f"urn:omninode-bridge:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "errors": [told(one) for one in problem.errors[:_MOST_ERRORS]],
    }


def _events(tx: Transaction, answers: Sequence[tuple[Command, dict[str, Any]]]) -> list[JournalEvent]:
    ids = list({command.event_id for command, _ in answers})
    rows = tx.all(positions.QUERIES["answers_before"], {"ids": ids}) if ids else []
    versions = {row["aggregate_id"]: row["version"] for row in rows}
    events = []
    for command, payload in answers:
        version = versions[command.event_id] = versions.get(command.event_id, 0) + 1
        events.append(
            JournalEvent(
                AGGREGATE,
                command.event_id,
                version,
                command.kind,
                payload,
                correlation_id=command.correlation_id,
                causation_id=command.event_id,
                partition_key=command.correlation_id,
            )
        )
    return events
