-- What scores and answers of an evaluation come to, a row for each metric in place of one for each item, so that a board
-- of a thousand runs reads thousands of rows and not millions. Made of the rows of `scores` and `predictions` in the
-- transaction that stores them (store_lists.py); those of an older store are taken in with the next that come. They
-- count where `row_count` adds up to all the rows there are. The last row of a key counts.
CREATE TABLE score_lists (
    eval_id VARCHAR NOT NULL,
    suite VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    filter VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    row_count BIGINT NOT NULL,   -- of `scores` that it took in
    size BIGINT NOT NULL,        -- items
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    items VARCHAR NOT NULL,
    "values" DOUBLE[],           -- empty: no item has one; NULL: items differ in what they have, so ask the rows
    statistics DOUBLE[]          -- of one item after the other
);

CREATE TABLE item_lists (
    id VARCHAR NOT NULL,
    items VARCHAR[] NOT NULL
);

CREATE TABLE answer_lists (
    eval_id VARCHAR NOT NULL,
    row_count BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    answers BIGINT NOT NULL,
    length_limited BIGINT NOT NULL,
    truncated BIGINT NOT NULL
);
