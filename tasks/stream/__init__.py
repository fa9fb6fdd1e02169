"""The state stream: every transition of every Celery task, written to a Redis stream as it happens."""
