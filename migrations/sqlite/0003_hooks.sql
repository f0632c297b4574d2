-- What other systems are to be told: written with what it tells of, kept until they have it.

CREATE TABLE hooks (
    id          INTEGER PRIMARY KEY,
    event_id    TEXT NOT NULL,                        -- the same for the same fact, however often it is told
    url         TEXT NOT NULL,                        -- to whom
    event       TEXT NOT NULL,                        -- call_answered, call_ended …
    body        TEXT NOT NULL,                        -- JSON, as it is sent and signed; empty once it was
    created_ms  INTEGER NOT NULL,                     -- Unix time in milliseconds, as the others
    due_ms      INTEGER NOT NULL,                     -- not before
    attempts    INTEGER NOT NULL DEFAULT 0,
    state       TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
    problem     TEXT,                                 -- what went wrong the last time
    done_ms     INTEGER,                              -- when it was sent or given up
    UNIQUE (url, event_id)
) STRICT;

CREATE INDEX hooks_due ON hooks (url, due_ms, id) WHERE state = 'waiting';
CREATE INDEX hooks_done ON hooks (done_ms) WHERE state <> 'waiting';
