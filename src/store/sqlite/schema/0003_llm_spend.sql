-- What the LLM stage spent on each day, by all servers on this store.
CREATE TABLE llm_spend (
    day   INTEGER PRIMARY KEY, -- days since 1970-01-01 (UTC)
    spent INTEGER NOT NULL     -- billionths of the unit that prices are configured in
) STRICT;
