"""Metrics as OpenTelemetry's protocol (OTLP) brings them: points that tell of many executions at once.

``conventions`` says which metrics and attributes mean what, ``decoding`` reads points from messages, ``deltas`` turns
what is counted from a start on into what is new, ``spreading`` brings buckets into our histograms; ``service`` makes
all that durable, and ``store`` runs the SQL. The rollups add points up as they do executions.
"""
