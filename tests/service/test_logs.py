"""No line of the log tells what an image or a request says."""

import io
import json
import logging

from xiqa.service.logs import LineFormatter


def lines(record) -> dict:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    handler.emit(record)
    text = stream.getvalue()
    assert text.count("\n") == 1
    return json.loads(text)


def record(name: str, message: str, error=None, **extra):
    made = logging.LogRecord(name, logging.WARNING, "f", 1, message, (), error and (type(error), error, None))
    made.__dict__ |= extra
    return made


def test_fields_are_those_of_the_list():
    row = lines(
        record("xiqa.service", "a loop has trouble", loop="forward-pacs", patient="Doe^Jane", uid="1.2")
    )
    assert row.pop("time").endswith("Z")
    assert row == {
        "level": "warning",
        "logger": "xiqa.service",
        "event": "a loop has trouble",
        "loop": "forward-pacs",
        "uid": "1.2",
    }


def test_of_an_error_its_type_and_place_are_told_and_not_its_text():
    try:
        raise ValueError("Doe^Jane 19700101")
    except ValueError as error:
        made = record("xiqa.service", "it failed")
        made.exc_info = (type(error), error, error.__traceback__)
    row = lines(made)
    assert row["error"] == "ValueError"
    assert "test_logs.py" in row["places"]
    assert "Doe" not in json.dumps(row)


def test_a_library_s_message_is_not_passed_on():
    row = lines(record("pydicom", "Invalid value for VR PN: 'Doe^Jane'"))
    assert row["event"] == "a library's message"
    assert "Doe" not in json.dumps(row)
