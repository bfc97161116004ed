"""Page: for whoever has no valid link. Run by Streamlit as a script; says nothing of what is behind it."""

from __future__ import annotations

import streamlit as st

from harness.app import entrance

st.title("Please use your link")
st.markdown("This address opens with the link that you were sent. If it has stopped working, ask for a new one.")
if entrance.sign_in_offered():
    st.button("Sign in", on_click=st.login, key="sign in")
