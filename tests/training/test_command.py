"""``xiqa train`` in a process of its own, as a user starts it."""

import subprocess
import sys


def test_a_wrong_recipe_is_one_readable_line(tmp_path):
    (tmp_path / "recipe.toml").write_text("name = 3\n")
    command = [sys.executable, "-m", "xiqa", "train", str(tmp_path / "recipe.toml"), "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("xiqa: ")
    assert "recipe.toml" in done.stderr


def test_an_absent_data_set_is_told_before_anything_is_built(tmp_path):
    text = (
        'name = "tiny"\nphases = [{ epochs = 1 }]\n'
        '[card]\nintended_use = ""\nlimits = ""\nnot_for = ""\ntraining_data = ""\nlicence = ""\n'
    )
    (tmp_path / "recipe.toml").write_text(text)
    command = [sys.executable, "-m", "xiqa", "train", str(tmp_path / "recipe.toml"), "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("Traceback")) == (2, 0)
    assert "objects.csv" in done.stderr
