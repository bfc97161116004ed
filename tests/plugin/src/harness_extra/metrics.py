"""A metric: how many words an answer has."""

from harness.metrics import Answer, Measured, Metric


def _count(answer: Answer) -> Measured:
    return Measured(float(len(answer.text.split())))


ANSWER_WORDS = Metric(
    "answer_words", "words of an answer; mean over examples", _count, direction="lower", unit="words", bounds=None
)
