-- What a race did: which arms it stopped, on what evidence. One race an experiment, part of the experiment's record.
ALTER TABLE experiments ADD COLUMN race JSON;
CREATE OR REPLACE VIEW current_experiments AS
    SELECT *, min(seq) OVER (PARTITION BY experiment_id) AS first_seq FROM experiments
    QUALIFY row_number() OVER (PARTITION BY experiment_id ORDER BY seq DESC) = 1;
