-- What was fitted to a version's prompts: every process that serves the version decides with the same.
CREATE TABLE decision_models (
    version_id INTEGER PRIMARY KEY REFERENCES versions (id),
    model      BLOB    NOT NULL -- in a form of its own, which names its own version
) STRICT;
