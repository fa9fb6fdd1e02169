-- A task that was sent with an ETA or a countdown is silent until then, and not lost.

ALTER TABLE task_states ADD COLUMN due_at timestamptz;
