"""Rows for tests."""

from sqlalchemy import select

from xiqa.service.records.schema import jobs


def instance_row(number: int, **more) -> dict:
    """The row of an instance, as the intake makes it."""
    return {
        "uid": f"1.2.{number}",
        "sop_class": "1.2.840.10008.5.1.4.1.1.1",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "sha256": f"{number:064x}",
        "size": 1000 + number,
        "path": f"a/1.2.{number}.dcm",
        "received": 1e9 + number,
        "source": "CR1",
        "modality": "CR",
        **more,
    }


def job_rows(store, **where) -> list[dict]:
    """Jobs as they are, in the order of their making."""
    statement = select(jobs).order_by(jobs.c.id)
    for name, value in where.items():
        statement = statement.where(jobs.c[name] == value)
    with store.database.reading() as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]
