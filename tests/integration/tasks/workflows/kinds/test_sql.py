"""Steps of the kind sql on a real PostgreSQL: what rows look like, and that nothing gets out of reading."""

from __future__ import annotations

import dataclasses
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from tasks.runtime import Runtime
from tasks.settings import load_settings
from tasks.workflows.attempt import Refused, StepError
from tasks.workflows.kinds import sql
from tests.integration.conftest import wait_until
from tests.integration.tasks.workflows.kinds.conftest import attempt_on

Ask = Callable[..., Any]
SCHEMA = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 2000) AS n;
CREATE SEQUENCE numbers;
CREATE FUNCTION put() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO orders VALUES (9999, ''put'') RETURNING id';
GRANT USAGE, CREATE ON SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON orders TO {role};
GRANT ALL ON SEQUENCE numbers TO {role};
"""


@pytest.fixture(scope="module")
def owner(postgres_url: str, template_database: str) -> Iterator[Any]:
    """The owner of a shop's database, in which the steps' role may write too, and still can't."""
    name = f"shop_{uuid.uuid4().hex[:8]}"
    server = psycopg2.connect(postgres_url)
    server.autocommit = True
    connection = None
    with server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hush'")
        connection = psycopg2.connect(postgres_url.rsplit("/", 1)[0] + "/" + name)
        connection.autocommit = True
        with connection.cursor() as inside:
            inside.execute(SCHEMA.format(role=name))
        yield connection
        connection.close()
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"DROP ROLE {name}")
    server.close()


@pytest.fixture(scope="module")
def shop(owner: Any, postgres_url: str) -> Iterator[Runtime]:
    """A process that may ask the shop."""
    name, place = owner.info.dbname, postgres_url.rpartition("@")[2].rsplit("/", 1)[0]
    settings = load_settings(
        {
            "DATABASE_URL": postgres_url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "WORKFLOW_SQL_CONNECTIONS": "shop=SHOP,owner=OWNER,away=AWAY,unset=UNSET",
        }
    )
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("OMNINODE_SECRET_SHOP", f"postgresql://{name}:hush@{place}/{name}")
        environ.setenv("OMNINODE_SECRET_OWNER", postgres_url)
        environ.setenv("OMNINODE_SECRET_AWAY", "postgresql://nobody:hush@127.0.0.1:1/none")
        runtime = Runtime(settings, "test")
        yield runtime
        runtime.close()


@pytest.fixture
def ask(shop: Runtime) -> Ask:
    def run(query: str, *, connection: str = "shop", seconds: float = 20, **arguments: Any) -> Any:
        return sql.run(attempt_on(shop, seconds=seconds), {"connection": connection, "query": query, **arguments})

    return run


def failure(ask: Ask, query: str, **arguments: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        ask(query, **arguments)
    return caught.value


def test_rows_come_as_json_in_their_order(ask: Ask) -> None:
    output = ask("SELECT id, note FROM orders WHERE id > 1995 ORDER BY id DESC; ")
    assert output == {"rows": [{"id": n, "note": f"note {n}"} for n in range(2000, 1995, -1)], "truncated": False}
    assert ask("VALUES (1, 'a'), (2, null)")["rows"][1] == {"column1": 2, "column2": None}
    assert ask("WITH a AS (SELECT 1 AS x) SELECT x FROM a -- the end")["rows"] == [{"x": 1}]
    assert ask("TABLE orders LIMIT 0") == {"rows": [], "truncated": False}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1.10::numeric", 1.1),
        ("12345678901234567890.5::numeric", "12345678901234567890.5"),
        ("0.1::float8 + 0.2::float8", 0.30000000000000004),
        ("9007199254740993::bigint", 9007199254740993),
        ("123456789012345678901::numeric", "123456789012345678901"),
        ("'NaN'::numeric", "NaN"),
        ("'infinity'::float8", "Infinity"),
        ("true", True),
        ("null::int", None),
        ("timestamptz '2026-03-29 03:30:00.5+02'", "2026-03-29T01:30:00.5+00:00"),
        ("timestamp '2026-03-29 03:30'", "2026-03-29T03:30:00"),
        ("date '2026-03-29'", "2026-03-29"),
        ("interval '1 day 2 hours'", "P1DT2H"),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("'\\xdeadbeef'::bytea", "\\xdeadbeef"),
        ("ARRAY[[1, 2], [3, null]]", [[1, 2], [3, None]]),
        ("""'{"a": [1, {"b": null}]}'::jsonb""", {"a": [1, {"b": None}]}),
        ("int4range(1, 5)", "[1,5)"),
        ("'é ☃ \"quoted\"'", 'é ☃ "quoted"'),
    ],
)
def test_types(ask: Ask, expression: str, value: Any) -> None:
    assert ask(f"SELECT {expression} AS v")["rows"] == [{"v": value}]


def test_params_are_values_and_never_text(ask: Ask) -> None:
    params = {
        "id": 7,
        "evil": "x'; DROP TABLE orders; --",
        "list": [1, 2],
        "none": None,
        "o": {"a": ["é"]},
        "b": True,
    }
    [row] = ask(
        "SELECT note, %(evil)s::text AS evil, 2 = ANY(%(list)s) AS any, %(none)s::text AS none, %(o)s::jsonb AS o,"
        " %(b)s AS b, '50%%' AS percent FROM orders WHERE id = %(id)s",
        params=params,
    )["rows"]
    assert row == {"note": "note 7", "evil": params["evil"], "any": True, "none": None, "o": {"a": ["é"]}, "b": True,
                   "percent": "50%"}  # fmt: skip
    assert ask("SELECT '50%' AS percent")["rows"] == [{"percent": "50%"}]
    for query, given in (
        ("SELECT %(no)s", {"id": 1}),
        ("SELECT 5 % 2, %(id)s", {"id": 1}),
        ("SELECT 1", {"a": "\0"}),
    ):
        error = failure(ask, query + " WHERE %(a)s IS NULL" if "a" in given else query, params=given)
        assert (error.error_type, isinstance(error, Refused)) == ("InvalidQuery", True)


WRITES = [
    "INSERT INTO orders VALUES (9999, 'x') RETURNING id",
    "DELETE FROM orders RETURNING id",
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
    "SELECT put()",
    "SELECT nextval('numbers')",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT * INTO copied FROM orders",
    "SELECT 1; DELETE FROM orders",
    "SELECT 1; COMMIT; DELETE FROM orders; SELECT 1",
    "COMMIT",
    "COMMIT; SELECT 1",
    "ROLLBACK",
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT set_config('transaction_read_only', 'off', false), put()",
    "SELECT 1) AS given OFFSET 0) AS made; DELETE FROM orders; --",
    "SELECT 1) AS a, (SELECT put()",
    "SELECT 1) AS given) AS made UNION ALL SELECT '[1]' --",
    "SELECT 1 /*",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "CALL put()",
    "COPY orders TO PROGRAM 'cat'",
    "COPY orders TO STDOUT",
    "CREATE TABLE made (id int)",
    "TRUNCATE orders",
    "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
    "PREPARE p AS DELETE FROM orders",
    "EXECUTE p",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "LISTEN x",
    "",
    "; ;",
]


@pytest.mark.parametrize("query", WRITES)
def test_nothing_gets_out_of_reading(ask: Ask, owner: Any, query: str) -> None:
    error = failure(ask, query)
    assert not error.retryable
    with owner.cursor() as cursor:
        cursor.execute("SELECT count(*), max(id) FROM orders")
        assert cursor.fetchone() == (2000, 2000)
        cursor.execute("SELECT last_value, is_called FROM numbers")
        assert cursor.fetchone() == (1, False)
    # And the session that comes back is as good as new.
    assert ask("SELECT current_setting('transaction_read_only') AS r")["rows"] == [{"r": "on"}]


def test_a_session_leaves_nothing_behind(ask: Ask) -> None:
    assert ask("SELECT pg_advisory_lock(7), set_config('work_mem', '1MB', false) AS w")["rows"][0]["w"] == "1MB"
    [row] = ask(
        "SELECT count(*) AS locks, current_setting('work_mem') AS w FROM pg_locks WHERE locktype = 'advisory'"
    )["rows"]
    assert row["locks"] == 0
    assert row["w"] != "1MB"


def test_rows_have_a_number(ask: Ask) -> None:
    output = ask("SELECT id FROM orders ORDER BY id", max_rows=3)
    assert output == {"rows": [{"id": 1}, {"id": 2}, {"id": 3}], "truncated": True}
    assert len(ask("SELECT id FROM orders")["rows"]) == 1000
    assert ask("SELECT id FROM orders", max_rows=2000)["truncated"] is False


def test_rows_have_a_size_and_are_not_sent_above_it(shop: Runtime, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "settings", dataclasses.replace(shop.settings, workflow_sql_max_bytes=10_000))
    output = ask("SELECT id, repeat('x', 990) AS fill FROM orders ORDER BY id")
    assert [row["id"] for row in output["rows"]] == list(range(1, 10))
    assert output["truncated"] is True
    error = failure(ask, "SELECT repeat('x', 30000000) AS fill")
    assert (error.error_type, error.retryable) == ("RowTooLarge", False)


def test_a_query_has_a_time(ask: Ask) -> None:
    for query in ("SELECT pg_sleep(30)", "SELECT count(*) FROM generate_series(1, 10000000000)"):
        error = failure(ask, query, timeout_s=0.3)
        assert (error.error_type, error.retryable) == ("Timeout", True)
    assert failure(ask, "SELECT pg_sleep(30)", seconds=0.3).error_type == "Timeout"
    assert failure(ask, "SELECT pg_sleep(0.001) FROM orders", timeout_s=0.9, max_rows=2000).error_type == "Timeout"


def test_connections_and_what_is_wrong_with_them(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    expected = {
        "none": "UnknownConnection",
        "unset": "SecretMissing",
        "owner": "RoleRefused",
        "away": "ConnectionFailed",
    }
    for name, error_type in expected.items():
        error = failure(ask, "SELECT 1", connection=name)
        assert (error.error_type, isinstance(error, Refused)) == (error_type, name != "away")
        assert "hush" not in str(error)
    assert "hush" not in caplog.text


def test_errors_say_what_the_database_says(ask: Ask) -> None:
    error = failure(ask, "SELECT * FROM nothing")
    assert (error.error_type, error.retryable) == ("Sql42P01", False)
    assert 'relation "nothing" does not exist' in str(error)
    assert failure(ask, "SELECT 1/0").error_type == "Sql22012"
    assert failure(ask, "SELECT 1 AS a, 2 AS a").error_type == "InvalidQuery"
    assert failure(ask, "SELECT * FROM runs").error_type == "Sql42501"


def test_a_connection_that_breaks_is_replaced(ask: Ask, owner: Any) -> None:
    errors: list[StepError] = []

    def sleep() -> None:
        errors.append(failure(ask, "SELECT pg_sleep(20)"))

    sleeper = threading.Thread(target=sleep)
    sleeper.start()

    def ended() -> int:
        with owner.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'omninode-workflow-sql' AND query LIKE '%FETCH%' AND state = 'active'"
            )
            [count] = cursor.fetchone()
            return int(count)

    wait_until(ended, what="the query")
    sleeper.join(20)
    [error] = errors
    assert (error.error_type, error.retryable) == ("ConnectionFailed", True)
    assert ask("SELECT 1 AS a")["rows"] == [{"a": 1}]
