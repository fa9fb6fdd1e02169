"""The HTTP side of the AI Lab: asking, comparing, and the endpoints behind it."""
