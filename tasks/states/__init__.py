"""Mirrored states of Celery tasks: the latest state of each, and how it may change."""
