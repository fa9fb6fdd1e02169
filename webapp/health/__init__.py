"""Says how the service and what it depends on are."""
