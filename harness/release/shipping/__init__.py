"""From an evaluated run to what ships: exports with a model card, and the proof that what ships is what was evaluated.

runs.py      a stored run and the plan to load and score it again
weights.py   merge, quantise, save
export.py    `harness export`: a folder with weights, model card and export.json
card.py      the model card
shipped.py   what lies at a path or URL, as something that can be scored
parity.py    `harness parity`: scores it on the run's sealed examples; the check as lines and JSON
judge.py     both sides → EQUIVALENT, DIFFERENT, INCONCLUSIVE or INVALID; pure
"""
