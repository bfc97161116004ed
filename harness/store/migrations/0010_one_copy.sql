-- Boards of many runs are read from the rows of `scores` and `predictions`, so the lists made of them go. The database
-- uses their space for what it stores next, and gives back what lies at the end of the file.
DROP TABLE score_lists;
DROP TABLE item_lists;
DROP TABLE answer_lists;
