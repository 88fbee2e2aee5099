"""What several commands are made of: streams that endure, lists, and the sub-commands of large commands."""
