-- What a car maker's back office keeps. Times are Asia/Shanghai civil times (2026-11-25T14:00), dates 2026-11-25,
-- money is in fen. Lists of words are JSON arrays.

-- Reference data ------------------------------------------------------------------------------------------------

CREATE TABLE models (
    name    TEXT NOT NULL PRIMARY KEY,                -- as it is spoken: 青屿 S7
    aliases TEXT NOT NULL                             -- JSON array
) STRICT, WITHOUT ROWID;

CREATE TABLE services (                               -- what a centre can be booked for
    name    TEXT NOT NULL PRIMARY KEY,
    aliases TEXT NOT NULL                             -- JSON array of what callers call it
) STRICT, WITHOUT ROWID;

CREATE TABLE centres (
    id       TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    address  TEXT NOT NULL,
    city     TEXT NOT NULL,
    district TEXT NOT NULL,
    phone    TEXT NOT NULL,
    opens    TEXT NOT NULL,                           -- 09:00
    closes   TEXT NOT NULL,                           -- 18:00; the last slot begins half an hour before
    weekdays TEXT NOT NULL,                           -- days on which it is open, Monday is 1: 1234567
    capacity INTEGER NOT NULL CHECK (capacity > 0),   -- cars taken in a slot
    lat      REAL NOT NULL,
    lon      REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE centre_services (
    centre  TEXT NOT NULL REFERENCES centres (id) ON DELETE CASCADE,
    service TEXT NOT NULL REFERENCES services (name),
    PRIMARY KEY (centre, service)
) STRICT, WITHOUT ROWID;

CREATE TABLE places (                                 -- districts, landmarks and roads that callers name, for distances
    name  TEXT NOT NULL,
    city  TEXT NOT NULL,
    lat   REAL NOT NULL,
    lon   REAL NOT NULL,
    vague INTEGER NOT NULL CHECK (vague IN (0, 1)),   -- a whole city, or a road that runs through it
    PRIMARY KEY (name, city)
) STRICT, WITHOUT ROWID;

CREATE TABLE trucks (
    name    TEXT NOT NULL PRIMARY KEY,                -- its call sign
    station TEXT NOT NULL,
    city    TEXT NOT NULL,
    lat     REAL NOT NULL,
    lon     REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE teams (                                  -- who takes which work orders, and how soon they answer
    kind   TEXT NOT NULL PRIMARY KEY,
    team   TEXT NOT NULL,
    normal INTEGER NOT NULL,                          -- hours
    high   INTEGER NOT NULL,
    urgent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE parts (
    code      TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    aliases   TEXT NOT NULL,                          -- JSON array
    models    TEXT NOT NULL,                          -- JSON array; empty: fits all
    price     INTEGER NOT NULL CHECK (price >= 0),
    labour    INTEGER NOT NULL CHECK (labour >= 0),
    lead_days INTEGER NOT NULL CHECK (lead_days >= 0) -- until it is there, where it is out of stock
) STRICT, WITHOUT ROWID;

CREATE TABLE part_stock (
    part   TEXT NOT NULL REFERENCES parts (code) ON DELETE CASCADE,
    centre TEXT NOT NULL REFERENCES centres (id) ON DELETE CASCADE,
    count  INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (part, centre)
) STRICT, WITHOUT ROWID;

CREATE TABLE prices (
    id      INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL CHECK (kind IN ('service', 'car')),
    item    TEXT NOT NULL,
    aliases TEXT NOT NULL,                            -- JSON array
    model   TEXT REFERENCES models (name),            -- NULL: the same for all
    price   INTEGER NOT NULL CHECK (price >= 0),
    note    TEXT NOT NULL
) STRICT;

CREATE TABLE instalment_plans (
    months       INTEGER NOT NULL PRIMARY KEY,
    annual_bp    INTEGER NOT NULL CHECK (annual_bp >= 0),            -- nominal rate a year, in hundredths of a per cent
    min_down_bp  INTEGER NOT NULL CHECK (min_down_bp BETWEEN 0 AND 10000)
) STRICT, WITHOUT ROWID;

-- Customers and their cars --------------------------------------------------------------------------------------

CREATE TABLE customers (
    id       TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL,
    title    TEXT NOT NULL,                           -- 先生, 女士
    phone    TEXT NOT NULL UNIQUE,
    tier     TEXT NOT NULL,                           -- 普通, 金卡
    since    TEXT NOT NULL,
    note     TEXT NOT NULL,
    language TEXT NOT NULL                            -- zh, en
) STRICT, WITHOUT ROWID;

CREATE TABLE vehicles (
    vin            TEXT NOT NULL PRIMARY KEY,
    plate          TEXT UNIQUE,                       -- NULL until it has one
    owner          TEXT NOT NULL REFERENCES customers (id),
    model          TEXT NOT NULL REFERENCES models (name),
    model_year     INTEGER NOT NULL,
    color          TEXT NOT NULL,
    bought         TEXT NOT NULL,
    mileage_km     INTEGER NOT NULL CHECK (mileage_km >= 0),
    mileage_at     TEXT NOT NULL,
    battery_kwh    REAL NOT NULL,
    warranty_until TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX vehicles_by_owner ON vehicles (owner);

CREATE TABLE recalls (
    code  TEXT NOT NULL,
    vin   TEXT NOT NULL REFERENCES vehicles (vin) ON DELETE CASCADE,
    title TEXT NOT NULL,
    open  INTEGER NOT NULL CHECK (open IN (0, 1)),
    PRIMARY KEY (vin, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE service_history (
    id         INTEGER PRIMARY KEY,
    vin        TEXT NOT NULL REFERENCES vehicles (vin) ON DELETE CASCADE,
    date       TEXT NOT NULL,
    mileage_km INTEGER NOT NULL,
    kind       TEXT NOT NULL,                         -- 首保, 小保养, 大保养 count as services; others do not
    centre     TEXT NOT NULL REFERENCES centres (id),
    items      TEXT NOT NULL,                         -- what was done
    cost       INTEGER NOT NULL CHECK (cost >= 0)
) STRICT;

CREATE INDEX service_history_by_vin ON service_history (vin, date DESC);

CREATE TABLE orders (
    id       TEXT NOT NULL PRIMARY KEY,
    phone    TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('parts', 'car')),
    item     TEXT NOT NULL,
    state    TEXT NOT NULL,
    placed   TEXT NOT NULL,
    expected TEXT,
    centre   TEXT REFERENCES centres (id),
    amount   INTEGER NOT NULL CHECK (amount >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX orders_by_phone ON orders (phone, placed DESC);

-- What is booked, sent and promised -----------------------------------------------------------------------------

CREATE TABLE bookings (
    id      TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 6),
    phone   TEXT NOT NULL,
    name    TEXT NOT NULL,
    vin     TEXT REFERENCES vehicles (vin),           -- NULL: a car that is not in the books
    plate   TEXT,
    centre  TEXT NOT NULL REFERENCES centres (id),
    start   TEXT NOT NULL,
    service TEXT NOT NULL REFERENCES services (name),
    note    TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('booked', 'cancelled')),
    created TEXT NOT NULL,
    changed TEXT NOT NULL,
    CHECK (vin IS NOT NULL OR plate IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX bookings_by_slot ON bookings (centre, start) WHERE state = 'booked';
CREATE INDEX bookings_by_phone ON bookings (phone, start);
CREATE INDEX bookings_by_plate ON bookings (plate, start);

CREATE TABLE rescues (
    id          TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 6),
    phone       TEXT NOT NULL,
    plate       TEXT,
    place       TEXT NOT NULL,
    problem     TEXT NOT NULL,
    passengers  INTEGER,
    safe        INTEGER CHECK (safe IN (0, 1)),
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'dispatched', 'arrived', 'done', 'cancelled')),
    truck       TEXT REFERENCES trucks (name),        -- NULL while it waits for one
    station     TEXT,
    lat         REAL NOT NULL,                        -- the place as far as it is known
    lon         REAL NOT NULL,
    eta_minutes INTEGER NOT NULL,                     -- from `created`
    eta_basis   TEXT NOT NULL CHECK (eta_basis IN ('place', 'city', 'guess')),
    created     TEXT NOT NULL,
    changed     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX rescues_open ON rescues (phone) WHERE state IN ('waiting', 'dispatched', 'arrived');
CREATE UNIQUE INDEX rescues_truck ON rescues (truck) WHERE state IN ('dispatched', 'arrived');
CREATE INDEX rescues_by_phone ON rescues (phone, created DESC);

CREATE TABLE tickets (
    id       TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 6),
    phone    TEXT,
    kind     TEXT NOT NULL REFERENCES teams (kind),
    summary  TEXT NOT NULL,
    details  TEXT NOT NULL,
    priority TEXT NOT NULL CHECK (priority IN ('normal', 'high', 'urgent')),
    vin      TEXT REFERENCES vehicles (vin),
    call     TEXT,                                    -- the call in which it was opened
    team     TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    created  TEXT NOT NULL,
    due      TEXT NOT NULL                            -- until when the team answers
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_by_phone ON tickets (phone, created DESC);

CREATE TABLE sms (                                    -- the outbox; a gateway takes what is queued
    id      INTEGER PRIMARY KEY,
    phone   TEXT NOT NULL,
    text    TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('queued', 'cancelled')),
    booking TEXT REFERENCES bookings (id),
    created TEXT NOT NULL
) STRICT;

CREATE INDEX sms_by_phone ON sms (phone, id DESC);
CREATE INDEX sms_by_booking ON sms (booking) WHERE booking IS NOT NULL;

CREATE TABLE reminders (                              -- calls to be made
    id      INTEGER PRIMARY KEY,
    booking TEXT NOT NULL REFERENCES bookings (id),
    phone   TEXT NOT NULL,
    at      TEXT NOT NULL,
    text    TEXT NOT NULL,                            -- what is to be said
    state   TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed', 'cancelled')),
    created TEXT NOT NULL
) STRICT;

CREATE INDEX reminders_by_time ON reminders (state, at);
CREATE INDEX reminders_by_booking ON reminders (booking);

-- Answers to requests that change something, so that one that comes again changes nothing.
CREATE TABLE answers (
    key         TEXT NOT NULL PRIMARY KEY,            -- Idempotency-Key
    fingerprint BLOB NOT NULL,                        -- SHA-256 of method, path and body
    status      INTEGER NOT NULL,
    body        TEXT NOT NULL,
    created     INTEGER NOT NULL                      -- Unix seconds
) STRICT, WITHOUT ROWID;

CREATE INDEX answers_by_age ON answers (created);
