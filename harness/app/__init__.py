"""The pages of the app and the server that shows them; no logic of their own."""
