"""The database: its tables, jobs with leases, the audit trail, and the node's words for all of it (`store`)."""
