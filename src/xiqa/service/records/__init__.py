"""The database: its tables, jobs with leases, the audit trail, and the node's words for them (`store`)."""
