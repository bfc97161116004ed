"""What the program produces: frozen, slotted records that travel between rooms and into the store.

Absent is None with a status beside it, never a magic number; a moment is a text, ISO 8601 in UTC. Every record turns
into plain JSON with `to_json` and back with `from_json`, which is how workers hand results to the driver. All of them
are imported from here.
"""

from harness.records.data import *
from harness.records.experiments import *
from harness.records.gates import *
from harness.records.release import *
from harness.records.review import *
from harness.records.scoring import *
from harness.records.search import *
from harness.records.serialise import *
from harness.records.serving import *
from harness.records.training import *
from harness.records.verdicts import *
