"""Results as text, Markdown, LaTeX, CSV, JSON, figures and one page of HTML."""
