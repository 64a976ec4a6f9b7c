"""What keeps the pipeline going: threads, gates, budget, imports, and what people ask for."""
