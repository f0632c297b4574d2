-- What people have to do after a call, until the tenant's systems have taken it.

CREATE TABLE work_orders (
    call_id  TEXT NOT NULL PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
    what     TEXT NOT NULL,                           -- the tool and its arguments, JSON; the same at every attempt
    state    TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due      TEXT NOT NULL,                           -- not before; RFC 3339, UTC
    answer   TEXT                                     -- of the last attempt: JSON if it was taken or refused, else why not
) STRICT, WITHOUT ROWID;

CREATE INDEX work_orders_due ON work_orders (due) WHERE state = 'open';
