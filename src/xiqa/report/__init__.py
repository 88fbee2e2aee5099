"""What a person gets: rows, overlays, and one page that needs nothing else."""
