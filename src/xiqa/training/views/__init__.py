"""Training the view check: pictures of every view, made from frontal ones or from nothing, and the fit."""
