"""The measured subjects: a leak hunt, a recording, a statement's peak."""
