"""Freed memory stays with the process and waiting threads sleep, unless its user has said otherwise."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = """
import resource
import torch
from xiqa.process import keep_freed_memory
print(keep_freed_memory())
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(12):  # glibc's aligned blocks take up to eight turns to find their place again
    before = pages()
    torch.ones(2**26, dtype=torch.uint8)
print(pages() - before)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def pages_again(**environment):
    """Whether memory is kept, and the pages that the system gives for 64 MB that were in use before."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean | environment)
    kept, pages = done.stdout.split()
    return kept == "True", int(pages)


@glibc
def test_a_block_is_used_again_without_the_system():
    kept, pages = pages_again()
    assert kept
    assert pages < 500  # of 16384


@glibc
def test_whoever_has_chosen_is_left_alone():
    kept, pages = pages_again(MALLOC_TRIM_THRESHOLD_="131072")
    assert not kept
    assert pages > 10000 or _huge()


def _huge():
    """Whether the system gives huge pages unasked, 32 instead of 16384."""
    return "[always]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()


COMMAND = """
import os, sys
from xiqa.cli import main
sys.argv = ["xiqa", *{arguments}, "--help"]
try:
    main()
finally:
    print("POLICY", os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    ("arguments", "chosen", "policy"),
    [
        (["assess"], None, "PASSIVE"),
        (["assess"], "ACTIVE", "ACTIVE"),
        (["train"], None, "None"),
        (["lungs", "train"], None, "None"),
    ],
)
def test_threads_that_wait_sleep_but_in_a_training(arguments, chosen, policy):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": chosen} if chosen else {}
    command = [sys.executable, "-c", COMMAND.format(arguments=arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == f"POLICY {policy}"
