-- Calls with what was said, what happened, and what was promised.

CREATE TABLE calls (
    id          TEXT NOT NULL PRIMARY KEY,            -- UUID v7
    tenant      TEXT NOT NULL,
    caller      TEXT NOT NULL,
    called      TEXT NOT NULL,
    door        TEXT NOT NULL,
    started     TEXT NOT NULL,                        -- RFC 3339
    state       TEXT NOT NULL CHECK (state IN ('running', 'ended')),
    duration_ms INTEGER NOT NULL DEFAULT 0,
    disposition TEXT,                                 -- as in the record; NULL while it runs
    record      TEXT                                  -- the whole record as JSON; NULL while it runs
) STRICT;

CREATE INDEX calls_by_start ON calls (started DESC, id DESC);
CREATE INDEX calls_running ON calls (id) WHERE state = 'running';

CREATE TABLE turns (
    call_id     TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    seq         INTEGER NOT NULL,                     -- from 1, in the order of the record
    who         TEXT NOT NULL,
    text        TEXT NOT NULL,
    began_ms    INTEGER NOT NULL,
    ended_ms    INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    confidence  REAL,
    topic       TEXT,
    latency_ms  INTEGER,                              -- last caller speech to first bot speech
    PRIMARY KEY (call_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    seq     INTEGER NOT NULL,                         -- from 1, in the order of arrival
    at_ms   INTEGER NOT NULL,                         -- since the answer
    body    TEXT NOT NULL,                            -- the event as JSON
    PRIMARY KEY (call_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE callbacks (
    id        INTEGER PRIMARY KEY,
    call_id   TEXT NOT NULL UNIQUE REFERENCES calls (id) ON DELETE CASCADE,  -- once a call
    number    TEXT NOT NULL,
    when_text TEXT NOT NULL,                          -- in the caller's own words
    created   TEXT NOT NULL,                          -- RFC 3339
    state     TEXT NOT NULL CHECK (state IN ('open', 'done'))
) STRICT;

CREATE INDEX callbacks_by_state ON callbacks (state, id);
