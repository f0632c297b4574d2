-- Where registered seats were when we stopped, so that they can be called again at once.

CREATE TABLE registrations (
    seat       TEXT NOT NULL,                         -- as in the configuration
    contact    TEXT NOT NULL,                         -- the URI that its telephone gave
    received   TEXT NOT NULL,                         -- address and port that its REGISTER came from
    transport  TEXT NOT NULL,
    q          INTEGER NOT NULL,                      -- preference, 0 to 1000
    expires_ms INTEGER NOT NULL,                      -- Unix time in milliseconds
    user_agent TEXT,
    instance   TEXT,
    call_id    TEXT NOT NULL,                         -- of its REGISTER
    cseq       INTEGER NOT NULL,
    PRIMARY KEY (seat, contact)
) STRICT, WITHOUT ROWID;
