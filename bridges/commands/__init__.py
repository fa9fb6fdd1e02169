"""Commands that come on Kafka: begin a workflow, tell how far one is."""
