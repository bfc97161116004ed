-- Trials of equal tuning; the seeds and the trial of a run; the seeds of an experiment; and of an entry the share of the
-- train split that it was trained on, which is part of its key: a smaller share answers for the learning curve alone.

CREATE TABLE trials (
    seq BIGINT NOT NULL,
    experiment_id VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    rung BIGINT NOT NULL,
    train_id VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    "values" JSON NOT NULL,
    space JSON NOT NULL,
    stock BOOLEAN NOT NULL,
    share DOUBLE NOT NULL,
    status VARCHAR NOT NULL,
    error VARCHAR,
    metric VARCHAR NOT NULL,
    value DOUBLE,
    loss DOUBLE,
    validated BIGINT NOT NULL,
    examples BIGINT NOT NULL,
    seconds DOUBLE NOT NULL,
    chosen BOOLEAN NOT NULL,
    edge JSON NOT NULL
);
CREATE VIEW current_trials AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id, arm, number, rung) AS first_seq FROM trials
    QUALIFY row_number() OVER (PARTITION BY experiment_id, arm, number, rung ORDER BY seq DESC) = 1;

ALTER TABLE runs ADD COLUMN seeds JSON DEFAULT '{}';
ALTER TABLE runs ADD COLUMN trial JSON DEFAULT '{}';
CREATE OR REPLACE VIEW current_runs AS
    SELECT *, min(seq) OVER (PARTITION BY train_id, attempt) AS first_seq FROM runs
    QUALIFY row_number() OVER (PARTITION BY train_id, attempt ORDER BY seq DESC) = 1;

ALTER TABLE experiments ADD COLUMN seeds JSON DEFAULT '{}';
CREATE OR REPLACE VIEW current_experiments AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id) AS first_seq FROM experiments
    QUALIFY row_number() OVER (PARTITION BY experiment_id ORDER BY seq DESC) = 1;

ALTER TABLE entries ADD COLUMN fraction DOUBLE DEFAULT 1.0;
CREATE OR REPLACE VIEW current_entries AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id, arm, seed, fraction) AS first_seq FROM entries
    QUALIFY row_number() OVER (PARTITION BY experiment_id, arm, seed, fraction ORDER BY seq DESC) = 1;
