-- What ships, held against the run that was evaluated. Every check is a row of its own; the last one of a kind counts.
CREATE TABLE parities (
    seq BIGINT NOT NULL,
    experiment VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    seed BIGINT,
    eval_id VARCHAR NOT NULL,
    after VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    artefact VARCHAR NOT NULL,
    artefact_hash VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    "primary" BOOLEAN NOT NULL,
    margin DOUBLE NOT NULL,
    confidence DOUBLE NOT NULL,
    difference JSON,
    p_value DOUBLE,
    more_examples BIGINT,
    answers BIGINT NOT NULL,
    same_answers BIGINT NOT NULL,
    closeness JSON NOT NULL,
    outcome VARCHAR NOT NULL,
    impostor VARCHAR NOT NULL,
    words VARCHAR NOT NULL,
    notes JSON NOT NULL,
    "when" VARCHAR NOT NULL
);
CREATE VIEW current_parities AS SELECT *, seq AS first_seq FROM parities;
