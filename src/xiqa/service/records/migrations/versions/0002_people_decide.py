"""People, their sessions and decisions; the order of the worklist."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_URGENCY = """UPDATE instances SET urgency = CASE verdict
    WHEN 'reacquire' THEN 0 WHEN 'review' THEN 1 WHEN 'not_assessed' THEN 2 WHEN 'accept' THEN 4 ELSE 3 END"""


def upgrade() -> None:
    """Go forward."""
    with op.batch_alter_table("instances", schema=None) as batch_op:
        for name, length in (("patient", 64), ("problem", 64), ("decision", 16)):
            batch_op.add_column(sa.Column(name, sa.String(length), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("urgency", sa.Integer(), nullable=False, server_default="3"))
        batch_op.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("decided", sa.Double(), nullable=True))
        batch_op.create_index("instances_worklist", ["urgency", "received"], unique=False)
        batch_op.create_index("instances_patient", ["patient", "received"], unique=False)
    op.execute(_URGENCY)
    op.create_table(
        "people",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("name", sa.String(32), nullable=False, unique=True),
        sa.Column("full_name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("secret", sa.String(256), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.Double(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("person_id", _NUMBER, sa.ForeignKey("people.id"), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("instance_id", _NUMBER, sa.ForeignKey("instances.id"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("person_id", _NUMBER, sa.ForeignKey("people.id"), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.UniqueConstraint("instance_id", "version", name="decisions_once"),
    )
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.create_index("decisions_at", ["at"], unique=False)


def downgrade() -> None:
    """Go back."""
    for name in ("decisions", "sessions", "people"):
        op.drop_table(name)
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.drop_index("instances_patient")
        batch_op.drop_index("instances_worklist")
        for name in ("decided", "version", "urgency", "decision", "problem", "patient"):
            batch_op.drop_column(name)
