"""The endpoints of model metrics: executions and OTLP in; what becomes of a batch."""
