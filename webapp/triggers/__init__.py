"""The HTTP side of triggers: workflows that begin with a webhook."""
