-- Work orders on some matters are for a team of their own.

CREATE TABLE topic_teams (
    topic TEXT NOT NULL,
    kind  TEXT NOT NULL REFERENCES teams (kind),      -- whose hours hold for it, too
    team  TEXT NOT NULL,
    PRIMARY KEY (topic, kind)
) STRICT, WITHOUT ROWID;

ALTER TABLE tickets ADD COLUMN topic TEXT;
