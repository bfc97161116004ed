-- Interleaved passes of serving figures: all arms of an experiment in one row, round by round, as they were measured.
CREATE TABLE serving (
    seq BIGINT NOT NULL,
    pass_id VARCHAR NOT NULL,
    experiment_id VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    created VARCHAR NOT NULL,
    settings JSON NOT NULL,
    environment JSON NOT NULL,
    hardware JSON NOT NULL,
    seconds DOUBLE NOT NULL,
    arms JSON NOT NULL
);
CREATE VIEW current_serving AS
    SELECT *, min(seq) OVER (PARTITION BY pass_id) AS first_seq FROM serving
    QUALIFY row_number() OVER (PARTITION BY pass_id ORDER BY seq DESC) = 1;
