"""What ``celery -A bridges.celery`` loads: the app of ``tasks`` with the bridge tasks added."""

from tasks.queue.app import create_celery
from tasks.settings import load_settings

app = create_celery(
    load_settings(), role="bridge", imports=("bridges.mirror.jobs", "bridges.relay.jobs", "bridges.commands.jobs")
)
