"""The page where a person decides: worklist, viewer, decision, accounts.

`routes.page_routes` puts it together; every path names the least role that it serves.
"""
