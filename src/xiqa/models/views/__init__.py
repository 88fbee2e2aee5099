"""The view check: what a card says of it, and its network."""
