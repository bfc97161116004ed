-- What an evaluation is of, whatever the environment; why it has no value for some metrics; the hardware it ran on.
-- The view is made again, because `*` was written out when it was made.
DROP VIEW current_evaluations;
ALTER TABLE evaluations ADD COLUMN subject VARCHAR DEFAULT '';
ALTER TABLE evaluations ADD COLUMN unavailable JSON DEFAULT '{}';
ALTER TABLE evaluations ADD COLUMN hardware JSON DEFAULT '{}';
CREATE VIEW current_evaluations AS
    SELECT *, min(seq) OVER (PARTITION BY eval_id) AS first_seq FROM evaluations
    QUALIFY row_number() OVER (PARTITION BY eval_id ORDER BY seq DESC) = 1;

-- Frozen runs scored again in another environment. The last check of a pair of evaluations counts.
CREATE TABLE sentinels (
    seq BIGINT NOT NULL,
    experiment VARCHAR NOT NULL,
    suite VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    before VARCHAR NOT NULL,
    after VARCHAR NOT NULL,
    environment_before JSON NOT NULL,
    environment_after JSON NOT NULL,
    moves JSON NOT NULL,
    answers BIGINT NOT NULL,
    changed_answers BIGINT NOT NULL,
    accepted BOOLEAN NOT NULL,
    "when" VARCHAR NOT NULL
);
CREATE VIEW current_sentinels AS
    SELECT *, min(seq) OVER (PARTITION BY before, after) AS first_seq FROM sentinels
    QUALIFY row_number() OVER (PARTITION BY before, after ORDER BY seq DESC) = 1;
