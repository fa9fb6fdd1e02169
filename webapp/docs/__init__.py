"""Shows people what is here: an index, and the API's description as pages."""
