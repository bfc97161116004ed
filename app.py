"""The app: `harness app`, or `streamlit run app.py -- --home FOLDER`.

Reads the store of one home folder: `--home`, else the environment's HARNESS_HOME, else `.harness`. Without a token in
the address nothing is shown: the owner's opens every page (where a bundle is served, how far it is and no more), a
reviewer's opens the review alone. Pages that somebody may not see are not even registered, because a browser is sent
the address of every registered one.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import streamlit as st

import harness
from harness.app import entrance, frame
from harness.errors import HarnessError

PAGES = Path(harness.__file__).parent / "app" / "pages"
OWNER = {
    "leaderboard.py": "Leaderboard",
    "compare.py": "Compare",
    "training.py": "Training",
    "tradeoffs.py": "Trade-offs",
    "data.py": "Data",
    "gates.py": "Gates",
    "review_results.py": "Review results",
}


def main() -> None:
    """Set the home folder, see who it is, and run the page they chose among theirs."""
    parser = argparse.ArgumentParser(description="Leaderboards and blind review", allow_abbrev=False)
    parser.add_argument("--home", type=Path, help="home folder with the store")
    home = parser.parse_known_args()[0].home
    if home is not None:
        os.environ["HARNESS_HOME"] = str(home)
    st.set_page_config(page_title="harness", layout="wide")
    try:
        role = entrance.admit()
    except HarnessError as error:
        role = "nobody"
        st.error(frame.words(str(error)) if entrance.is_local() else "The server cannot be used at the moment.")
    if role == "owner" and entrance.review_only():
        st.navigation([st.Page(PAGES / "status.py", title="Status", default=True)], position="hidden").run()
    elif role == "owner":
        pages = [
            st.Page(PAGES / file, title=title, default=place == 0) for place, (file, title) in enumerate(OWNER.items())
        ]
        st.navigation(pages).run()
    else:
        file = "review.py" if role == "reviewer" else "nobody.py"
        st.navigation([st.Page(PAGES / file, title="Review", default=True, url_path="")], position="hidden").run()


main()
