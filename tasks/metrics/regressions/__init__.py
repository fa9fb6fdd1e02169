"""Regressions: a model that became slower, worse, dearer or less reliable than it used to be.

``detection`` judges one stretch of time against earlier ones; ``history`` holds what is known of one model at one
kind of task; store, service and jobs keep the findings.
"""
