"""Passes of images of which each differs little from another: `IncrementalProbe`."""
