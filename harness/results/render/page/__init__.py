"""The report of an experiment as one page of HTML and as Markdown."""
