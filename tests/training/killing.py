"""A training that is killed on its way and goes on, beside one that was left alone."""

import pytest

from xiqa.training.module import QualityModule


class Stop(Exception):
    """Stands for a kill."""


def whole_and_resumed(run, folder, monkeypatch, *, step):
    """What ``run(folder, resume=...)`` gives left alone, and killed before a step and resumed."""
    whole = run(folder / "whole")
    train = QualityModule.training_step

    def killed(self, batch, index):
        if self.global_step == step:
            raise Stop
        return train(self, batch, index)

    monkeypatch.setattr(QualityModule, "training_step", killed)
    with pytest.raises(Stop):
        run(folder / "killed")
    monkeypatch.setattr(QualityModule, "training_step", train)
    return whole, run(folder / "killed", resume=True)
