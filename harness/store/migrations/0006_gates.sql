-- Every call of a gate with its whole verdict. A row is never corrected: judging the same scores again is another row.
CREATE TABLE gates (
    seq BIGINT NOT NULL,
    id VARCHAR NOT NULL,
    "when" VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    gates_file VARCHAR NOT NULL,
    gates_digest VARCHAR NOT NULL,
    rules_digest VARCHAR NOT NULL,
    baseline VARCHAR NOT NULL,
    baseline_digest VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL,
    experiment VARCHAR NOT NULL,
    train_id VARCHAR NOT NULL,
    eval_id VARCHAR NOT NULL,
    data JSON NOT NULL,
    outcome VARCHAR NOT NULL,
    exit_code BIGINT NOT NULL,
    look BIGINT,
    looks BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    verdict JSON NOT NULL,
    waivers JSON NOT NULL,
    rescored VARCHAR NOT NULL,
    answered_by VARCHAR NOT NULL,
    settled BOOLEAN NOT NULL
);
CREATE VIEW current_gates AS SELECT *, seq AS first_seq FROM gates;
