-- Experiments that were deleted. A row hides what was stored of an experiment until then (the `*_seq` say how far), so
-- that the same experiment may run again. Looks, gates, reviews and checks of environments are hidden by nothing.
CREATE TABLE deletions (
    seq BIGINT NOT NULL,
    experiment_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    task_fingerprint VARCHAR NOT NULL,
    "when" VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    train_ids JSON NOT NULL,
    eval_ids JSON NOT NULL,
    experiments_seq BIGINT NOT NULL,
    entries_seq BIGINT NOT NULL,
    trials_seq BIGINT NOT NULL,
    serving_seq BIGINT NOT NULL
);
CREATE OR REPLACE VIEW current_experiments AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id) AS first_seq FROM experiments
    ANTI JOIN deletions AS gone
        ON gone.experiment_id = experiments.experiment_id AND experiments.seq <= gone.experiments_seq
    QUALIFY row_number() OVER (PARTITION BY experiment_id ORDER BY seq DESC) = 1;
CREATE OR REPLACE VIEW current_entries AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id, arm, seed, fraction) AS first_seq FROM entries
    ANTI JOIN deletions AS gone ON gone.experiment_id = entries.experiment_id AND entries.seq <= gone.entries_seq
    QUALIFY row_number() OVER (PARTITION BY experiment_id, arm, seed, fraction ORDER BY seq DESC) = 1;
CREATE OR REPLACE VIEW current_trials AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id, arm, number, rung) AS first_seq FROM trials
    ANTI JOIN deletions AS gone ON gone.experiment_id = trials.experiment_id AND trials.seq <= gone.trials_seq
    QUALIFY row_number() OVER (PARTITION BY experiment_id, arm, number, rung ORDER BY seq DESC) = 1;
CREATE OR REPLACE VIEW current_serving AS
    SELECT *, min(seq) OVER (PARTITION BY pass_id) AS first_seq FROM serving
    ANTI JOIN deletions AS gone ON gone.experiment_id = serving.experiment_id AND serving.seq <= gone.serving_seq
    QUALIFY row_number() OVER (PARTITION BY pass_id ORDER BY seq DESC) = 1;
