-- Rounds of blind review. Assignments, texts and guesses are written once; of rounds, invitations and reservations the
-- last row of a key counts. A vote may answer several criteria.
CREATE TABLE rounds (
    seq BIGINT NOT NULL,
    id VARCHAR NOT NULL,
    experiment VARCHAR NOT NULL,
    arms JSON NOT NULL,
    evaluations JSON NOT NULL,
    split VARCHAR NOT NULL,
    items BIGINT NOT NULL,
    raters BIGINT NOT NULL,
    queues BIGINT NOT NULL,
    seed BIGINT,
    instructions VARCHAR NOT NULL,
    criteria JSON NOT NULL,
    flags JSON NOT NULL,
    exclusion JSON NOT NULL,
    gold BIGINT NOT NULL,
    identical BIGINT NOT NULL,
    repeats BIGINT NOT NULL,
    opened JSON NOT NULL,
    closed JSON,
    unblinded JSON,
    practice JSON,
    render VARCHAR NOT NULL,
    question VARCHAR NOT NULL,
    reservation_minutes DOUBLE NOT NULL,
    sensitive BOOLEAN NOT NULL
);
CREATE VIEW current_rounds AS
    SELECT *, min(seq) OVER (PARTITION BY id) AS first_seq FROM rounds
    QUALIFY row_number() OVER (PARTITION BY id ORDER BY seq DESC) = 1;

CREATE TABLE assignments (
    seq BIGINT NOT NULL,
    token VARCHAR NOT NULL,
    round VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    item VARCHAR NOT NULL,
    example VARCHAR NOT NULL,
    "left" VARCHAR NOT NULL,
    "right" VARCHAR NOT NULL,
    queue BIGINT,
    place BIGINT NOT NULL,
    rater VARCHAR
);
CREATE VIEW current_assignments AS SELECT *, seq AS first_seq FROM assignments;

CREATE TABLE review_texts (
    seq BIGINT NOT NULL,
    round VARCHAR NOT NULL,
    example VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);
CREATE VIEW current_review_texts AS SELECT *, seq AS first_seq FROM review_texts;

CREATE TABLE invitations (
    seq BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    round VARCHAR,
    role VARCHAR NOT NULL,
    salt VARCHAR NOT NULL,
    token_hash VARCHAR NOT NULL,
    created VARCHAR NOT NULL,
    revoked BOOLEAN NOT NULL,
    queue BIGINT,
    arrived VARCHAR
);
CREATE VIEW current_invitations AS
    SELECT *, min(seq) OVER (PARTITION BY round, name) AS first_seq FROM invitations
    QUALIFY row_number() OVER (PARTITION BY round, name ORDER BY seq DESC) = 1;

CREATE TABLE reservations (
    seq BIGINT NOT NULL,
    assignment VARCHAR NOT NULL,
    rater VARCHAR NOT NULL,
    expires VARCHAR NOT NULL,
    made VARCHAR NOT NULL
);
CREATE VIEW current_reservations AS
    SELECT *, min(seq) OVER (PARTITION BY assignment) AS first_seq FROM reservations
    QUALIFY row_number() OVER (PARTITION BY assignment ORDER BY seq DESC) = 1;

CREATE TABLE guesses (
    seq BIGINT NOT NULL,
    round VARCHAR NOT NULL,
    rater VARCHAR NOT NULL,
    assignment VARCHAR NOT NULL,
    answer VARCHAR NOT NULL,
    "when" VARCHAR NOT NULL,
    extra JSON NOT NULL
);
CREATE VIEW current_guesses AS
    SELECT *, min(seq) OVER (PARTITION BY round, rater) AS first_seq FROM guesses
    QUALIFY row_number() OVER (PARTITION BY round, rater ORDER BY seq DESC) = 1;

-- The view is made again, because `*` was written out when it was made.
DROP VIEW current_judgments;
ALTER TABLE judgments ADD COLUMN criteria JSON DEFAULT '{}';
CREATE VIEW current_judgments AS
    SELECT *, min(seq) OVER (PARTITION BY assignment) AS first_seq FROM judgments
    QUALIFY row_number() OVER (PARTITION BY assignment ORDER BY revision DESC, seq DESC) = 1;
