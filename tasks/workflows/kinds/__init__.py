"""What runs the kinds of steps that do work of their own: one module for each kind, registered in ``KINDS``."""
