"""What a runtime is made of: the stream to its host, and the functions that run for it."""
