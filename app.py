"""The app: `harness app`, or `streamlit run app.py -- --home FOLDER`.

Reads the store of one home folder: `--home`, else the environment's HARNESS_HOME, else `.harness`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import streamlit as st

import harness

PAGES = Path(harness.__file__).parent / "pages"


def main() -> None:
    """Set the home folder, list the pages and run the chosen one."""
    parser = argparse.ArgumentParser(description="Leaderboards of stored experiments", allow_abbrev=False)
    parser.add_argument("--home", type=Path, help="home folder with the store")
    home = parser.parse_known_args()[0].home
    if home is not None:
        os.environ["HARNESS_HOME"] = str(home)
    st.set_page_config(page_title="harness", layout="wide")
    st.navigation([st.Page(PAGES / "leaderboard.py", title="Leaderboard", default=True)]).run()


main()
