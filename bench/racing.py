from pathlib import Path
import sys
import racing_record
if __name__ == "__main__":
    racing_record.record(Path("/tmp/w/race_home"), Path("/tmp/w/race_home.json"), [0, 1])
