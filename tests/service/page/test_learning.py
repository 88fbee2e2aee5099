"""What people decided comes out as a data set that training reads."""

import csv

import pytest

from tests.dicom.net.objects import encode, instance, radiograph
from tests.service.page.visits import add, assessed_row, person, row_of
from xiqa.datasets.folder import read_csv
from xiqa.dicom.net.instance import Instance, part10
from xiqa.errors import OutputError
from xiqa.imaging import read_image
from xiqa.service.records.decisions import Choice
from xiqa.service.records.learning import export_decisions


def arrive(site, uid: str, patient: str, seed: int) -> None:
    ds, known = radiograph(uid, seed=seed), instance(uid, seed=seed)
    ds.PatientID = patient
    made = Instance(known.sop_class, uid, known.transfer_syntax, encode(ds))
    site.node.take_in(part10(made) + made.content, "TEST")


def test_decisions_are_a_data_set(site, tmp_path):
    for number in range(12):
        arrive(site, f"1.2.826.{number}", f"P{number // 2}", number)
    site.node.intake.reconcile()
    add(site.store, assessed_row(1) | {"spooled": False})
    who = person(site.people, "technologist")
    for number in range(11):
        poor = number % 3 == 0
        choice = Choice(f"1.2.826.{number}", 0, "reacquire" if poor else "accept", "111210" if poor else "")
        site.decisions.decide(choice, who)
    site.decisions.undo("1.2.826.10", 1, who)
    site.decisions.decide(Choice("1.2.1", 0, "reacquire", "111209"), who)
    out = tmp_path / "set"
    assert export_decisions(site.store, site.node.spool.root, out) == (10, 1)
    loaded = read_csv(out / "images.csv")
    assert loaded.classes == ("accept", "reacquire")
    by_name = {sample.key: sample for sample in loaded.samples}
    samples = [by_name[f"images/1.2.826.{number}.dcm"] for number in range(10)]
    assert [sample.label for sample in samples] == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    assert samples[0].tags == ("motion_blur",)
    patients = [sample.patient for sample in samples]
    assert len(set(patients)) == 5
    assert patients[0] == patients[1] != patients[2]
    assert row_of(site.store, "1.2.826.0")["patient"][:16] not in patients
    assert read_image(samples[3].path).size == (20, 30)
    rows = list(csv.DictReader((out / "images.csv").open()))
    assert {row["verdict"] for row in rows} == {""}
    with pytest.raises(OutputError, match="not empty"):
        export_decisions(site.store, site.node.spool.root, out)
