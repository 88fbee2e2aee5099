"""What papers print: the numbers, beside ours (`numbers`), and what follows from them (`reanalysis`)."""
