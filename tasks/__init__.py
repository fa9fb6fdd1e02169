"""The core: settings, database, journal, Celery app, and one subpackage for each capability."""
