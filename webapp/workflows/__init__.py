"""The HTTP side of workflows: definitions, runs and what may be done with them."""
