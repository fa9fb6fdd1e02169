"""Triggers: workflows that begin with a webhook."""
