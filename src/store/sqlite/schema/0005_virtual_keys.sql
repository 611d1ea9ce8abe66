-- Who may call. A key is never removed, so that what it did can be told later.
CREATE TABLE virtual_keys (
    id         TEXT    PRIMARY KEY,
    hash       BLOB    NOT NULL, -- BLAKE3 of the whole key; its secret is nowhere
    terms      TEXT    NOT NULL, -- JSON: name, role, rights, limits, end
    created_at INTEGER NOT NULL, -- seconds since the Unix epoch
    revoked_at INTEGER,
    revision   INTEGER NOT NULL
) STRICT;

-- What each key spent on each day, by all servers on this store, with what they hold for requests to come.
CREATE TABLE key_spend (
    key   TEXT    NOT NULL REFERENCES virtual_keys (id),
    day   INTEGER NOT NULL, -- days since 1970-01-01 (UTC)
    spent INTEGER NOT NULL, -- billionths of the unit that prices are configured in
    PRIMARY KEY (key, day)
) STRICT, WITHOUT ROWID;
