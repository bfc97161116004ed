-- Append-only tables: rows are never updated or deleted. `seq` rises with every row of a table; a correction is a row
-- with the same natural key and a later `seq`. The views `current_*` show the last row of every key, with `first_seq`,
-- the place of the key's first row, so that a correction does not change the order. No primary keys and no secondary
-- indexes: what is written once is decided by an anti-join at the insert.

CREATE TABLE schema_migrations (
    version BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    applied TIMESTAMPTZ NOT NULL DEFAULT current_timestamp
);

CREATE TABLE experiments (
    seq BIGINT NOT NULL,
    experiment_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    spec JSON NOT NULL,
    task JSON NOT NULL,
    task_fingerprint VARCHAR NOT NULL,
    split_sizes JSON NOT NULL,
    leaks JSON NOT NULL,
    base_hash VARCHAR NOT NULL,
    created VARCHAR NOT NULL,
    groups JSON NOT NULL,
    suite VARCHAR NOT NULL
);
CREATE VIEW current_experiments AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id) AS first_seq FROM experiments
    QUALIFY row_number() OVER (PARTITION BY experiment_id ORDER BY seq DESC) = 1;

CREATE TABLE entries (
    seq BIGINT NOT NULL,
    experiment_id VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    seed BIGINT,
    train_id VARCHAR NOT NULL,
    attempt BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    eval_id VARCHAR
);
CREATE VIEW current_entries AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id, arm, seed) AS first_seq FROM entries
    QUALIFY row_number() OVER (PARTITION BY experiment_id, arm, seed ORDER BY seq DESC) = 1;

CREATE TABLE runs (
    seq BIGINT NOT NULL,
    train_id VARCHAR NOT NULL,
    attempt BIGINT NOT NULL,
    arm VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    seed BIGINT,
    role VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    error VARCHAR,
    ledger JSON NOT NULL,
    provenance JSON NOT NULL,
    artefact JSON,
    parent_train_id VARCHAR,
    notes JSON NOT NULL
);
CREATE VIEW current_runs AS
    SELECT *, min(seq) OVER (PARTITION BY train_id, attempt) AS first_seq FROM runs
    QUALIFY row_number() OVER (PARTITION BY train_id, attempt ORDER BY seq DESC) = 1;

-- A trainer may write two rows for one step, one with the loss and one with the validation loss; both stay. A step
-- repeated after a resume supersedes the one before.
CREATE TABLE train_log (
    seq BIGINT NOT NULL,
    train_id VARCHAR NOT NULL,
    attempt BIGINT NOT NULL,
    step BIGINT NOT NULL,
    examples BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    seconds DOUBLE NOT NULL,
    loss DOUBLE,
    validation_loss DOUBLE,
    gradient_norm DOUBLE,
    learning_rate DOUBLE
);
CREATE VIEW current_train_log AS
    SELECT *, step AS first_seq FROM train_log
    QUALIFY row_number() OVER (
        PARTITION BY train_id, attempt, step, loss IS NULL, validation_loss IS NULL ORDER BY seq DESC
    ) = 1;

CREATE TABLE evaluations (
    seq BIGINT NOT NULL,
    eval_id VARCHAR NOT NULL,
    train_id VARCHAR NOT NULL,
    artefact_hash VARCHAR NOT NULL,
    suite_fingerprint VARCHAR NOT NULL,
    generation JSON NOT NULL,
    environment JSON NOT NULL,
    created VARCHAR NOT NULL
);
CREATE VIEW current_evaluations AS
    SELECT *, min(seq) OVER (PARTITION BY eval_id) AS first_seq FROM evaluations
    QUALIFY row_number() OVER (PARTITION BY eval_id ORDER BY seq DESC) = 1;

CREATE TABLE predictions (
    seq BIGINT NOT NULL,
    eval_id VARCHAR NOT NULL,
    example VARCHAR NOT NULL,
    prompt_hash VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    finish VARCHAR NOT NULL,
    tokens_in BIGINT NOT NULL,
    tokens_out BIGINT NOT NULL,
    seconds DOUBLE NOT NULL,
    truncated BOOLEAN NOT NULL
);
CREATE VIEW current_predictions AS
    SELECT *, min(seq) OVER (PARTITION BY eval_id, example) AS first_seq FROM predictions
    QUALIFY row_number() OVER (PARTITION BY eval_id, example ORDER BY seq DESC) = 1;

CREATE TABLE likelihoods (
    seq BIGINT NOT NULL,
    eval_id VARCHAR NOT NULL,
    suite VARCHAR NOT NULL,
    item VARCHAR NOT NULL,
    continuation BIGINT NOT NULL,
    role VARCHAR NOT NULL,
    logprob DOUBLE NOT NULL,
    tokens BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);
CREATE VIEW current_likelihoods AS
    SELECT *, min(seq) OVER (PARTITION BY eval_id, suite, item, continuation, role) AS first_seq FROM likelihoods
    QUALIFY row_number() OVER (PARTITION BY eval_id, suite, item, continuation, role ORDER BY seq DESC) = 1;

CREATE TABLE scores (
    seq BIGINT NOT NULL,
    eval_id VARCHAR NOT NULL,
    suite VARCHAR NOT NULL,
    item VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    filter VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    value DOUBLE,
    statistics JSON
);
CREATE VIEW current_scores AS
    SELECT *, min(seq) OVER (PARTITION BY eval_id, suite, item, metric, filter, version) AS first_seq FROM scores
    QUALIFY row_number() OVER (PARTITION BY eval_id, suite, item, metric, filter, version ORDER BY seq DESC) = 1;

-- Every look at the sealed test split counts: the whole row is its identity.
CREATE TABLE looks (
    seq BIGINT NOT NULL,
    eval_id VARCHAR NOT NULL,
    experiment VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    "when" VARCHAR NOT NULL
);
CREATE VIEW current_looks AS SELECT *, seq AS first_seq FROM looks;

-- Votes. `id` is unique, and so is (assignment, revision); the last revision of an assignment counts.
CREATE TABLE judgments (
    seq BIGINT NOT NULL,
    id VARCHAR NOT NULL,
    assignment VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    rater VARCHAR NOT NULL,
    winner VARCHAR NOT NULL,
    seconds DOUBLE NOT NULL,
    "when" VARCHAR NOT NULL,
    flags JSON NOT NULL,
    comment VARCHAR
);
CREATE VIEW current_judgments AS
    SELECT *, min(seq) OVER (PARTITION BY assignment) AS first_seq FROM judgments
    QUALIFY row_number() OVER (PARTITION BY assignment ORDER BY revision DESC, seq DESC) = 1;
