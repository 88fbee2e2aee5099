"""Simulators: images whose truth is known exactly, and folders of them laid out as real data sets are."""
