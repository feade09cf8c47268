-- One row: the index as a whole. Its row is updated last in each transaction that adds changes, so that their numbers
-- have no gaps and are in the order of the commits.
CREATE TABLE index_state (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    registry TEXT NOT NULL,
    epoch TEXT NOT NULL,
    head BIGINT NOT NULL DEFAULT 0,
    oldest BIGINT NOT NULL DEFAULT 0,
    walk_started DOUBLE PRECISION,
    walk_ended DOUBLE PRECISION,
    walk_requested BIGINT NOT NULL DEFAULT 1,
    walk_held BIGINT NOT NULL DEFAULT 0,
    ready BIGINT NOT NULL DEFAULT 0
);

-- known: 0 only a notification named it, 1 the catalog lists it, 2 it was read.
-- dirty: how often it was marked since it was last settled. priority: 0 notified, 1 the walk's.
CREATE TABLE repositories (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    known BIGINT NOT NULL,
    added_at DOUBLE PRECISION NOT NULL,
    listed_at DOUBLE PRECISION,
    read_at DOUBLE PRECISION,
    dirty BIGINT NOT NULL DEFAULT 0,
    dirty_since DOUBLE PRECISION,
    priority BIGINT NOT NULL DEFAULT 1,
    due_at DOUBLE PRECISION NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    claimed_until DOUBLE PRECISION NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT ''
);
-- What was notified comes first, but the walk's reads wait for half a minute at most.
CREATE INDEX repositories_due ON repositories ((due_at + 30.0 * priority)) WHERE dirty > 0;

CREATE TABLE tags (
    repository BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag TEXT COLLATE "C" NOT NULL,
    digest BYTEA,
    checked_at DOUBLE PRECISION,
    PRIMARY KEY (repository, tag)
);
CREATE INDEX tags_by_digest ON tags (digest) WHERE digest IS NOT NULL;

CREATE TABLE hints (
    repository BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    tag TEXT COLLATE "C" NOT NULL,
    digest BYTEA,
    notified_at DOUBLE PRECISION,
    actor TEXT NOT NULL,
    PRIMARY KEY (repository, tag)
);

CREATE TABLE changes (
    sequence BIGINT PRIMARY KEY,
    type BIGINT NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    digest BYTEA,
    previous_digest BYTEA,
    observed_at DOUBLE PRECISION NOT NULL,
    notified_at DOUBLE PRECISION,
    actor TEXT NOT NULL
);
CREATE INDEX changes_of_tag ON changes (repository, tag, sequence);

CREATE TABLE lease (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    holder TEXT NOT NULL,
    fence BIGINT NOT NULL,
    held_until DOUBLE PRECISION NOT NULL
);

CREATE TABLE registry_instances (
    instance TEXT PRIMARY KEY,
    seen_at DOUBLE PRECISION NOT NULL
);
