"""What a page holds, read back without a browser."""

import json
import re

from xiqa.report.html import report_html
from xiqa.report.journal import Entry


def page(*assessments, pictures=lambda stem: None, **options):
    entries = [Entry(one.file, one.disclosed(), one.file) for one in assessments]
    return report_html(entries, pictures, **options)


def rows_of(text):
    """The rows of a page, as its script sees them."""
    return json.loads(re.search(r'<script type="application/json" id="rows">(.*?)</script>', text, re.S)[1])
