"""The endpoint of OpenTelemetry's protocol, OTLP/HTTP: metrics in, answers as that protocol has them."""
