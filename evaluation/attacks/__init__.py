"""What people do to a published photograph: tuning on it, and editing it."""
