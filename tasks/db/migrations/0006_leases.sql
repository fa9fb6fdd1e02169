-- What is leased is found by its lease. Under `state = 'processing'` the planner took this index for the completing
-- of a batch too, and read all that had ever been leased since the last vacuum: 400 entries a hook, and growing.

DROP INDEX inbox_leased;
CREATE INDEX inbox_leased ON inbox (lease_until) WHERE lease_until IS NOT NULL;
