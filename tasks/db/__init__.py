"""The PostgreSQL side: connection pool, named SQL blocks, numbered migrations."""
