"""What is said of a table of scores: intervals by patient, calibration, a classifier's report.

Start with `bootstrap`.
"""
