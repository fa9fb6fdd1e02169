"""The HTTP side of mirrored Celery tasks."""
