-- What callers left word of who wanted no call-back. The audio is in the recording of the call.

CREATE TABLE messages (
    id       INTEGER PRIMARY KEY,
    call_id  TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    began_ms INTEGER NOT NULL,                        -- since the answer
    ended_ms INTEGER NOT NULL,
    text     TEXT NOT NULL,
    state    TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done')),
    UNIQUE (call_id, began_ms)
) STRICT;

CREATE INDEX messages_by_state ON messages (state, id);
