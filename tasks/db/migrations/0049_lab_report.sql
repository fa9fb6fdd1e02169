-- The lab's report reads its executions by endpoint and time, of which rollups know the second alone: from an index that
-- holds all it says, and holds executions of the lab's endpoints only.
CREATE INDEX model_executions_of_endpoint ON model_executions (endpoint, started_at)
    INCLUDE (model, error_type, escalated_to_tier, latency_ms, first_token_latency_ms, input_tokens, output_tokens,
             quality_score, success)
    WHERE endpoint IS NOT NULL;
