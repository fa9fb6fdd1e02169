"""The HTTP side of hooks: their shapes, one or many at a time."""
