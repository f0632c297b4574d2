-- Seats as they were left, messages of callers, and calls that we place ourselves.

CREATE TABLE seats (
    id   TEXT NOT NULL PRIMARY KEY,                   -- as in the configuration
    away INTEGER NOT NULL CHECK (away IN (0, 1))      -- 1: wants no calls
) STRICT, WITHOUT ROWID;

ALTER TABLE callbacks ADD COLUMN due TEXT;            -- RFC 3339, UTC; NULL: as soon as somebody is there

CREATE TABLE outbound (
    id       INTEGER PRIMARY KEY,
    key      TEXT NOT NULL UNIQUE,                    -- the same request twice is one call
    kind     TEXT NOT NULL CHECK (kind IN ('callback', 'reminder', 'event')),
    number   TEXT NOT NULL,
    words    TEXT NOT NULL,                           -- what is said first; empty for call-backs: the tenant's own
    origin   TEXT,                                    -- the call in which it was promised
    created  TEXT NOT NULL,                           -- RFC 3339, UTC
    due      TEXT NOT NULL,                           -- not before; RFC 3339, UTC
    state    TEXT NOT NULL CHECK (state IN ('open', 'calling', 'done', 'failed', 'cancelled')),
    attempts INTEGER NOT NULL DEFAULT 0,
    call_id  TEXT,                                    -- the call that was placed last
    outcome  TEXT                                     -- of the last attempt
) STRICT;

CREATE INDEX outbound_due ON outbound (due) WHERE state = 'open';
