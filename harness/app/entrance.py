"""The role of whoever opens the app: owner, reviewer or nobody, from the token in the address or a sign-in."""

from __future__ import annotations

import os
from typing import Literal, cast

import streamlit as st

from harness import environment
from harness.app import access, frame
from harness.records import Invitation
from harness.review import authenticate, invited

Role = Literal["owner", "reviewer", "nobody"]


def admit() -> Role:
    """The role of this session; the invitation of a reviewer is kept for the review page."""
    token = st.query_params.get("token") or st.session_state.get("token")
    for kept in ("invitation", "owner"):
        st.session_state.pop(kept, None)
    if token and st.query_params.get("token") != token:
        st.query_params["token"] = token  # going to another page drops it, and a reload there would find nobody
    st.session_state["token"] = token
    if access.is_owner(frame.home(), token):
        return "owner"
    store = frame.store()
    if store is None:
        return "nobody"
    invited_ = authenticate(store, token) if token else _signed_in()
    if invited_ is None:
        return "nobody"
    if invited_.role == "owner":
        st.session_state["owner"] = invited_.name
        return "owner"
    st.session_state["invitation"] = invited_
    return "reviewer"


def invitation() -> Invitation:
    """The invitation of this session's reviewer."""
    return cast(Invitation, st.session_state["invitation"])


def who() -> str:
    """Who an owner is: by invitation, or else whoever runs the server."""
    return str(st.session_state.get("owner") or environment.user())


def sign_in_offered() -> bool:
    """Whether the server's secrets configure a sign-in (OpenID Connect)."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def _signed_in() -> Invitation | None:
    """The invitation whose name is the verified e-mail address of who has signed in."""
    store = frame.store()
    if store is None or not sign_in_offered() or not st.user.get("is_logged_in"):
        return None
    email = st.user.get("email")
    verified = st.user.get("email_verified", True)
    return invited(store, str(email)) if email and verified is True else None


def review_only() -> bool:
    """Whether the server serves a review bundle, where there is nothing to see but the review."""
    return os.environ.get("HARNESS_REVIEW_ONLY") == "1"


def is_local() -> bool:
    """Whether the server answers this machine alone, so that its owner may be told what is wrong."""
    return os.environ.get("HARNESS_HOST", "127.0.0.1") in ("127.0.0.1", "localhost", "::1")
