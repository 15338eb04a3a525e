"""Pages about runs: a document of sections, and what each kind of page says."""
