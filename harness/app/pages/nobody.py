"""Page: what somebody without a valid link sees: nothing of what is behind it. Run by Streamlit as a script."""

from __future__ import annotations

import streamlit as st

from harness.app import entrance

st.title("Please use your link")
st.markdown("This address opens with the link that you were sent. If it has stopped working, ask for a new one.")
if entrance.sign_in_offered():
    st.button("Sign in", on_click=st.login, key="sign in")
