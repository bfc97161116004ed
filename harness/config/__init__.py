"""What a person writes: tasks, arms and experiments, as frozen pydantic models.

Nothing here touches the disk: `load.py` turns YAML into these and adds file and line to every error.
Unknown fields are errors (`extra="forbid"`), so a typo never becomes a silent default.
"""

from harness.config.arms import *
from harness.config.documents import Spec as Spec
from harness.config.experiment import *
from harness.config.gates import *
from harness.config.suite import *
from harness.config.task import *
