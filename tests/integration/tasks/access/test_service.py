"""Keys: random, hashed, scoped, expiring; refusals and admin acts leave a row and an event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.access.service import AccessService, Request
from tasks.db.pool import Database
from tasks.errors import NotFound, Unauthorized, ValidationFailed


@pytest.fixture
def access(db: Database) -> AccessService:
    return AccessService(db)


def test_a_key_works_and_is_stored_only_as_a_hash(access: AccessService, db: Database) -> None:
    record, secret = access.create("ci", ["hooks:write"])
    assert secret.startswith("omni_")
    principal = access.verify(secret)
    assert (principal.id, principal.name) == (record["id"], "ci")
    assert principal.may("hooks:write")
    assert not principal.may("hooks:read")
    with db.transaction() as tx:
        row = tx.one("SELECT api_keys::text AS text FROM api_keys")
    assert row is not None
    assert secret[12:] not in row["text"]


def test_admin_may_everything(access: AccessService) -> None:
    _, secret = access.create("root", ["admin"])
    assert access.verify(secret).may("metrics:write")


@pytest.mark.parametrize("secret", ["", "omni_nothing", "é\x00", "x" * 10_000])
def test_any_other_text_is_refused(access: AccessService, secret: str) -> None:
    with pytest.raises(Unauthorized):
        access.verify(secret)


def test_revoked_and_expired_keys_are_refused(access: AccessService) -> None:
    record, secret = access.create("ci", ["admin"])
    access.verify(secret)
    access.revoke(record["prefix"])
    with pytest.raises(Unauthorized):
        access.verify(secret)
    with pytest.raises(NotFound):
        access.revoke(str(record["id"]))
    _, old = access.create("old", ["admin"], datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(Unauthorized, match="expired"):
        access.verify(old)


def test_mistakes_are_told_together(access: AccessService) -> None:
    with pytest.raises(ValidationFailed) as caught:
        access.create(" ", ["hooks:write", "everything"])
    assert [error.pointer for error in caught.value.errors] == ["/scopes", "/name"]


def test_refusals_and_admin_acts_are_recorded_and_told(access: AccessService, db: Database) -> None:
    access.create("ci", ["admin"])
    access.refuse("ACCESS_1", Request("127.0.0.1", "POST", "/hooks\x00"), detail="no key")
    with db.transaction() as tx:
        rows = tx.all("SELECT kind, code, path FROM security_audit_log ORDER BY id")
        events = tx.all("SELECT event_type, payload FROM journal ORDER BY id")
    assert [(row["kind"], row["code"]) for row in rows] == [("admin", "key-created"), ("refusal", "ACCESS_1")]
    assert rows[1]["path"] == "/hooks"
    assert [event["event_type"] for event in events] == ["security", "security"]
    assert "address" not in events[1]["payload"]
