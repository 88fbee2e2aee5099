"""What the node does: make rows of files, forward, assess in a child process, deliver, tell, tidy up."""
