"""The Celery app: its configuration, how messages are sent, received, capped and scheduled."""
