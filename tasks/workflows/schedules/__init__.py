"""Schedules: workflows that begin by the clock."""
