"""What happens inside of a model: its gates, its features, and what it does without one of its parts."""
