"""The tables. Rows are derived from the spool, but for decisions and the audit trail."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "DECIDED",
    "URGENCY",
    "WAITING",
    "audit",
    "decisions",
    "deliveries",
    "events",
    "instances",
    "jobs",
    "metadata",
    "people",
    "results",
    "sessions",
    "switches",
]

#: Where an undecided image stands in the list, by its verdict: what needs a person first comes first.
URGENCY = {"reacquire": 0, "review": 1, "not_assessed": 2, "": 3, "accept": 4}
WAITING, DECIDED = URGENCY[""], 9

metadata = MetaData()

#: SQLite numbers rows by itself only in a column of its type INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

instances = Table(
    "instances",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("sop_class", String(64), nullable=False),
    Column("transfer_syntax", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("path", Text, nullable=False),  # relative to the spool
    Column("spooled", Boolean, nullable=False, default=True),  # False once retention took the file
    Column("received", Double, nullable=False),  # wall clock, as the file has it
    Column("source", String(16), nullable=False, default=""),
    Column("called", String(16), nullable=False, default=""),
    Column("address", String(64), nullable=False, default=""),
    Column("study_uid", String(64), nullable=False, default=""),
    Column("series_uid", String(64), nullable=False, default=""),
    Column("modality", String(16), nullable=False, default=""),
    Column("body_part", String(16), nullable=False, default=""),
    Column("view", String(16), nullable=False, default=""),
    Column("station", String(16), nullable=False, default=""),
    Column("device", String(64), nullable=False, default=""),
    Column("acquired", String(32), nullable=False, default=""),
    Column("verdict", String(16), nullable=False, default=""),  # empty: not yet assessed
    Column("reason", Text, nullable=False, default=""),
    Column("probability", Double),
    Column("model_hash", String(64), nullable=False, default=""),
    Column("rule", String(64), nullable=False, default=""),
    Column("assessed", Double),
    Column("assessment", Text),  # JSON
    Column("patient", String(64), nullable=False, default=""),  # a hash, to find earlier images
    Column("problem", String(64), nullable=False, default=""),
    Column("urgency", Integer, nullable=False, default=WAITING),
    Column("version", Integer, nullable=False, default=0),  # grows with each decision and each undo
    Column("decision", String(16), nullable=False, default=""),  # the one in force
    Column("decided", Double),
    Index("instances_received", "received"),
    Index("instances_study", "study_uid"),
    Index("instances_worklist", "urgency", "received"),
    Index("instances_patient", "patient", "received"),
)

people = Table(
    "people",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("name", String(32), nullable=False, unique=True),
    Column("full_name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("secret", String(256), nullable=False, default=""),  # Argon2id; empty: no password of ours
    Column("active", Boolean, nullable=False, default=True),
    Column("failures", Integer, nullable=False, default=0),
    Column("locked_until", Double, nullable=False, default=0.0),
    Column("created", Double, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("person_id", _Number, ForeignKey("people.id"), nullable=False),
    Column("created", Double, nullable=False),
    Column("seen", Double, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("instance_id", _Number, ForeignKey("instances.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("action", String(16), nullable=False),  # accept, reacquire or undo
    Column("reason", String(16), nullable=False, default=""),  # a code value of CID 7011
    Column("note", Text, nullable=False, default=""),
    Column("person_id", _Number, ForeignKey("people.id"), nullable=False),
    Column("person", String(64), nullable=False),  # the name as it was
    Column("verdict", String(16), nullable=False),  # the model's, as it was
    Column("override", Boolean, nullable=False, default=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("instance_id", "version", name="decisions_once"),
    Index("decisions_at", "at"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("instance_id", _Number, ForeignKey("instances.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("peer", String(64), nullable=False, default=""),
    Column("state", String(16), nullable=False, default="waiting"),  # leased, done, dead, dropped
    Column("due", Double, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("fence", Integer, nullable=False, default=0),  # grows with each lease
    Column("owner", String(64), nullable=False, default=""),
    Column("lease_until", Double, nullable=False, default=0.0),
    Column("status", String(64), nullable=False, default=""),  # the peer's own word
    Column("problem", Text, nullable=False, default=""),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    UniqueConstraint("instance_id", "kind", "peer", name="jobs_once"),
    Index("jobs_ready", "state", "kind", "due"),
    Index("jobs_updated", "updated"),
)

results = Table(
    "results",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("instance_id", _Number, ForeignKey("instances.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("uid", String(64), nullable=False, unique=True),
    Column("sop_class", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("instance_id", "kind", name="results_once"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("instance_id", _Number, ForeignKey("instances.id"), nullable=False),
    Column("uid", String(64), nullable=False),  # of the original or of a result
    Column("peer", String(64), nullable=False),
    Column("status", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),  # taken, confirmed, differs, missing
    Column("at", Double, nullable=False),
    UniqueConstraint("uid", "peer", name="deliveries_once"),
    Index("deliveries_instance", "instance_id"),
)

events = Table(
    "events",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("at", Double, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("uid", String(64), nullable=False, default=""),
    Column("content", Text, nullable=False, default="{}"),  # JSON
    sqlite_autoincrement=True,  # a number is never given twice, so that a reader misses nothing
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("at", Double, nullable=False),
    Column("code", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)

switches = Table(
    "switches",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
)
