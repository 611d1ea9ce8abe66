-- Whether the decision of an origin was known to the server that recorded it: what a client names may be no decision at
-- all. What was recorded before is believed.
ALTER TABLE proposal_origins ADD COLUMN known INTEGER NOT NULL DEFAULT 1; -- 0 or 1
