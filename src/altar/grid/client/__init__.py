"""What a client is made of: the source of a session on a grid, and what lets it run tools itself."""
