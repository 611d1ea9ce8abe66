-- Marks the file as one of semroute's ("smrt"), so that the database of another program is never written to.
PRAGMA application_id = 1936552564;

CREATE TABLE sets (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    description  TEXT    NOT NULL,
    policy       TEXT    NOT NULL, -- JSON
    revision     INTEGER NOT NULL,
    last_version INTEGER NOT NULL, -- highest number ever given to a version; numbers are not given twice
    published    INTEGER,
    previous     INTEGER
) STRICT;

-- Where the counters of a deleted set stopped. A set of that name made later counts on from there, so that nobody who
-- remembers a revision or version of the old set takes one of the new set for it.
CREATE TABLE former_sets (
    name         TEXT    NOT NULL PRIMARY KEY,
    revision     INTEGER NOT NULL,
    last_version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE routes (
    set_id         INTEGER NOT NULL REFERENCES sets (id),
    name           TEXT    NOT NULL,
    description    TEXT    NOT NULL,
    min_score      REAL,
    min_similarity REAL,
    targets        TEXT    NOT NULL, -- JSON
    revision       INTEGER NOT NULL,
    PRIMARY KEY (set_id, name)
) STRICT, WITHOUT ROWID;

-- Each text once, whatever the number of drafts and versions that hold it. With a rowid, because texts are long and
-- long rows make a WITHOUT ROWID table wide; the index alone answers whether a text is there.
CREATE TABLE texts (
    id   INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE, -- SHA-256 of the text
    text TEXT NOT NULL
) STRICT;

CREATE TABLE prompts (
    set_id    INTEGER NOT NULL REFERENCES sets (id),
    id        TEXT    NOT NULL,
    route     TEXT    NOT NULL,
    text_hash BLOB    NOT NULL REFERENCES texts (hash),
    revision  INTEGER NOT NULL,
    PRIMARY KEY (set_id, id),
    FOREIGN KEY (set_id, route) REFERENCES routes (set_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX prompts_by_route ON prompts (set_id, route, id);
CREATE INDEX prompts_by_text ON prompts (text_hash);

-- Not bound to `texts`: a vector may be put while its text comes and goes; collecting garbage removes what is unused.
CREATE TABLE embeddings (
    id        INTEGER PRIMARY KEY,
    text_hash BLOB NOT NULL,
    model     TEXT NOT NULL, -- fingerprint
    vector    BLOB NOT NULL, -- f32, little-endian
    UNIQUE (text_hash, model)
) STRICT;

CREATE TABLE versions (
    id             INTEGER PRIMARY KEY,
    set_id         INTEGER NOT NULL REFERENCES sets (id),
    version        INTEGER NOT NULL,
    draft_revision INTEGER NOT NULL,
    state          TEXT    NOT NULL,
    model          TEXT    NOT NULL, -- fingerprint
    anew           INTEGER NOT NULL, -- 1: every text is embedded again, even those that have an embedding
    prompts        INTEGER NOT NULL,
    created_at     INTEGER NOT NULL, -- seconds since the Unix epoch
    policy         TEXT    NOT NULL, -- JSON
    routes         TEXT    NOT NULL, -- JSON
    report         TEXT    NOT NULL, -- JSON; empty while building
    UNIQUE (set_id, version)
) STRICT;

CREATE TABLE version_prompts (
    version_id INTEGER NOT NULL REFERENCES versions (id),
    id         TEXT    NOT NULL,
    route      TEXT    NOT NULL,
    text_hash  BLOB    NOT NULL REFERENCES texts (hash),
    PRIMARY KEY (version_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_prompts_by_text ON version_prompts (text_hash);

-- The texts of a version that still lack an embedding of its model. Could be computed, but a build asks for the next
-- few hundred over and over, and each time would pass again over all those that are done.
CREATE TABLE missing_embeddings (
    version_id INTEGER NOT NULL REFERENCES versions (id),
    text_hash  BLOB    NOT NULL,
    PRIMARY KEY (version_id, text_hash)
) STRICT, WITHOUT ROWID;
