"""The HTTP side of what begins workflows besides a request for one: schedules and triggers."""
