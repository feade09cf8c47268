-- One row: the index as a whole. Its row is updated last in each transaction that adds changes, so that their numbers
-- have no gaps and are in the order of the commits.
CREATE TABLE index_state (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    registry TEXT NOT NULL,
    epoch TEXT NOT NULL,
    head INTEGER NOT NULL DEFAULT 0,
    oldest INTEGER NOT NULL DEFAULT 0,
    walk_started REAL,
    walk_ended REAL,
    walk_requested INTEGER NOT NULL DEFAULT 1,
    walk_held INTEGER NOT NULL DEFAULT 0,
    ready INTEGER NOT NULL DEFAULT 0
) STRICT;

-- known: 0 only a notification named it, 1 the catalog lists it, 2 it was read.
-- dirty: how often it was marked since it was last settled. priority: 0 notified, 1 the walk's.
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    known INTEGER NOT NULL,
    added_at REAL NOT NULL,
    listed_at REAL,
    read_at REAL,
    dirty INTEGER NOT NULL DEFAULT 0,
    dirty_since REAL,
    priority INTEGER NOT NULL DEFAULT 1,
    due_at REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    claimed_until REAL NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT ''
) STRICT;
-- What was notified comes first, but the walk's reads wait for half a minute at most.
CREATE INDEX repositories_due ON repositories ((due_at + 30.0 * priority)) WHERE dirty > 0;

CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    digest BLOB,
    checked_at REAL,
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (digest) WHERE digest IS NOT NULL;

CREATE TABLE hints (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    digest BLOB,
    notified_at REAL,
    actor TEXT NOT NULL,
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY,
    type INTEGER NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest BLOB,
    previous_digest BLOB,
    observed_at REAL NOT NULL,
    notified_at REAL,
    actor TEXT NOT NULL
) STRICT;
CREATE INDEX changes_of_tag ON changes (repository, tag, sequence);

CREATE TABLE lease (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    held_until REAL NOT NULL
) STRICT;

CREATE TABLE registry_instances (
    instance TEXT PRIMARY KEY,
    seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
