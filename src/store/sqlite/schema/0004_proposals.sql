-- Prompts that somebody says belong to a route. Numbers are never given twice, so that one that is deleted and one that
-- comes later cannot be taken for each other.
CREATE TABLE proposals (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    set_id                INTEGER NOT NULL REFERENCES sets (id),
    likeness              BLOB    NOT NULL, -- SHA-256 of the text without case, white space and marks at its end
    route                 TEXT    NOT NULL, -- need not exist any more
    text                  TEXT    NOT NULL,
    state                 TEXT    NOT NULL,
    conflicting_reference TEXT,
    reference             TEXT,             -- what it became
    model                 TEXT,             -- fingerprint
    vector                BLOB,             -- f32, little-endian
    created_at            INTEGER NOT NULL, -- seconds since the Unix epoch
    updated_at            INTEGER NOT NULL,
    revision              INTEGER NOT NULL,
    UNIQUE (set_id, likeness, route)
) STRICT;
CREATE INDEX proposals_by_state ON proposals (set_id, state, id);

CREATE TABLE proposal_origins (
    proposal_id INTEGER NOT NULL REFERENCES proposals (id) ON DELETE CASCADE,
    source      TEXT    NOT NULL,
    decision    TEXT    NOT NULL,
    model       TEXT    NOT NULL,
    at          INTEGER NOT NULL, -- seconds since the Unix epoch
    note        TEXT    NOT NULL,
    PRIMARY KEY (proposal_id, source, decision)
) STRICT, WITHOUT ROWID;
CREATE INDEX proposal_origins_by_decision ON proposal_origins (decision);

-- Each pair stands here twice, once for either side.
CREATE TABLE proposal_conflicts (
    proposal_id INTEGER NOT NULL REFERENCES proposals (id) ON DELETE CASCADE,
    other_id    INTEGER NOT NULL REFERENCES proposals (id) ON DELETE CASCADE,
    PRIMARY KEY (proposal_id, other_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX proposal_conflicts_by_other ON proposal_conflicts (other_id);
