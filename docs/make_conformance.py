"""Write docs/conformance.md from the tables that the code itself uses.

python docs/make_conformance.py
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydicom.datadict import dictionary_description
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from xiqa.dicom import KINDS, origin
from xiqa.dicom.codes import PROBLEMS, PROCEDURES, QUALITY, REJECT_REASONS, Concept
from xiqa.dicom.kinds import DEFAULT
from xiqa.dicom.net.association import MAX_PDU
from xiqa.dicom.objects import (
    key_objects,
    parametric_map,
    presentation_state,
    secondary_capture,
    segmentation,
    structured_report,
)

PAGE = Path(__file__).parent / "conformance.md"
SERIES = {
    module.SERIES.kind: module.SERIES
    for module in (
        secondary_capture,
        structured_report,
        presentation_state,
        key_objects,
        segmentation,
        parametric_map,
    )
}
TEXT = """\
# DICOM conformance of results

<!-- Written by docs/make_conformance.py from the code's own tables; change those. -->

What the objects that `xiqa assess --dicom-results` and `xiqa.dicom.results` make look like to an archive. How
to use them is told in [DICOM results](dicom-results.md).

## Objects created

All are encoded in {explicit}, in the study of the source image. `{default}` are made unless others are named.

{objects}

A description ends with *AI image quality, not for diagnosis*. There is one series for each kind, model and
source series. All UIDs are of the form `2.25.N` (PS3.5 annex B.2) and follow from the source's SOP Instance
UID, the frame, the hash of the model, the method, the limit, the review band, the version
of xiqa and the kind; those of a rejection also from the decision. The same result made twice is the same
object, and carries the time at which it was made in its creation and content dates. All text is in UTF-8
(`ISO_IR 192`), whatever the source's character set.

The presentation state refers to grey images only, the parametric map to images that tell where they lie in
the patient. Key objects are made where a person should look; a rejection only from the decision of a named
person with a reason of CID 7011, and for {other} with words that say what it is.

## Storage as a user (SCU)

One association, one presentation context for each kind of object and transfer syntax. Proposed: {syntaxes},
in this order of preference; the largest PDU is {pdu:,} bytes. A status 0000 or Bxxx counts as stored, every
other as not stored, and no answer as unknown; each is shown with the archive's comment. Nothing is sent again
by itself.

## Taken over from the source

Nothing else is copied: no name of a hospital, station, operator or file.

{attributes}

An identifying attribute that breaks the rules of its value representation is refused, any other left out.
Beside these the picture and the presentation state repeat Laterality, Image Laterality, Patient Orientation,
the aspect of pixels and the display shutter, where they are valid.

## Codes

No private code is used.

{codes}

### What the verdict says of quality

{quality}

An image for review has no coded quality; the reason is told in words (121106, Comment).

### Reasons for rejection (CID 7011)

{reasons}

### Problems by name

{problems}

A problem with another name has a group of its own without a coded finding.

### Procedure reported, by modality

{procedures}
"""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def objects() -> str:
    rows = [
        (f"`{kind.name}`", kind.title, f"`{kind.sop_class}`", series.number, series.description, kind.what)
        for kind in KINDS.values()
        for series in [SERIES[kind.name]]
    ]
    return table(("name", "object", "SOP class", "series", "described as", "holds"), rows)


def attributes() -> str:
    rows = []
    for keyword in dict.fromkeys((*origin.REQUIRED, *origin.PRESENT, *origin.OPTIONAL)):
        needed = (
            "required" if keyword in origin.REQUIRED else "empty" if keyword in origin.PRESENT else "absent"
        )
        invalid = keyword in (*origin.IDENTIFYING, *origin.REQUIRED)
        rows.append((dictionary_description(keyword), needed, "refused" if invalid else "left out"))
    return table(("attribute", "where the source has none", "where it is invalid"), rows)


def code_rows(codes) -> list[tuple[object, ...]]:
    return [(code.value, code.scheme_designator, code.meaning) for code in codes]


def page() -> str:
    heads = ("code", "scheme", "meaning")
    problems = [(name.replace("_", " "), REJECT_REASONS[code].meaning) for name, code in PROBLEMS.items()]
    procedures = [(name or "any other", code.value, code.meaning) for name, code in PROCEDURES.items()]
    quality = [(verdict.value, c.value.value, c.value.meaning) for verdict, c in QUALITY.items()]
    return TEXT.format(
        explicit=ExplicitVRLittleEndian.name,
        default=",".join(DEFAULT),
        objects=objects(),
        other="an artifact that has no code of its own (111215)",
        syntaxes=f"{ExplicitVRLittleEndian.name}, {ImplicitVRLittleEndian.name}",
        pdu=MAX_PDU,
        attributes=attributes(),
        codes=table(heads, code_rows(concept.value for concept in Concept)),
        quality=table(("verdict", "code", "meaning"), quality),
        reasons=table(heads, code_rows(REJECT_REASONS.values())),
        problems=table(("problem", "finding"), problems),
        procedures=table(("modality", "code", "meaning"), procedures),
    )


if __name__ == "__main__":
    PAGE.write_text(page())
