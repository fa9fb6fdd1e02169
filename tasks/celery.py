"""What ``celery -A tasks.celery`` loads: the app, with settings from the environment."""

from tasks.queue.app import create_celery
from tasks.settings import load_settings

app = create_celery(load_settings())
