"""Workflows: durable graphs of steps, kept in PostgreSQL and carried by chains and chords."""
