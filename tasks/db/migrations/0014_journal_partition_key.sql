-- What keeps events in order on Kafka where that is not their aggregate: an emitted event is an aggregate of its own
-- (it happens once, at version 1), and its writer may want it behind others of the same customer.
ALTER TABLE journal ADD COLUMN partition_key text;
