"""Every item belongs to exactly one part, on every machine to the same."""

import hashlib
import random
import subprocess
import sys

import pytest

from xiqa.engines import Shard
from xiqa.errors import ConfigError

PATHS = [f"images/{number % 7}/{number}.dcm" for number in range(600)]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 64])
def test_the_parts_are_all_and_share_nothing(count):
    parts = [Shard(index, count).of(PATHS) for index in range(1, count + 1)]
    assert sorted(path for part in parts for path in part) == sorted(PATHS)
    assert all(part == [path for path in PATHS if path in set(part)] for part in parts)  # in their order
    mean = len(PATHS) / count
    assert all(abs(len(part) - mean) < 5 * mean**0.5 + 1 for part in parts)


def test_a_part_is_the_hash_s_rest_whatever_else_there_is():
    def rest(path):  # by hand, digit by digit
        value = 0
        for digit in hashlib.sha256(path.encode()).hexdigest():
            value = (value * 16 + int(digit, 16)) % 5
        return value

    for path in PATHS[:50]:
        assert [index for index in range(1, 6) if Shard(index, 5).takes(path)] == [rest(path) + 1]
    shuffled = random.Random(3).sample(PATHS, 200)
    assert set(Shard(2, 5).of(shuffled)) == set(Shard(2, 5).of(PATHS)) & set(shuffled)


def test_another_process_cuts_the_same_way():
    code = "from xiqa.engines import Shard; print(*Shard(2, 4).of(f'{n}.png' for n in range(40)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == Shard(2, 4).of(f"{number}.png" for number in range(40))


def test_names_that_are_no_unicode_have_a_part_too():
    name = b"image-\xff.png".decode("utf-8", "surrogateescape")
    assert sum(Shard(index, 3).takes(name) for index in (1, 2, 3)) == 1


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1.0/2"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ConfigError, match="i/n"):
        Shard.parse(text)
