"""The HTTP side of schedules: workflows that begin by the clock."""
