"""What the benchmarks compare with, how they measure it, and what they count as found."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flywheel_tests.benchmarks import _near_duplicate_engines as engines
from flywheel_tests.benchmarks import near_duplicates


def test_rows_that_share_a_band_through_others_go_for_the_first_of_them() -> None:
    signatures = np.arange(6 * 126, dtype=np.uint32).reshape(6, 126)
    signatures[4, 21:28] = signatures[5, 21:28]
    signatures[4, 70:77] = signatures[1, 70:77]
    signatures[3, 7:14] = signatures[0, 14:21]  # the same values in another band

    assert engines._grouped(signatures).sort("row").rows() == [(4, 1), (5, 1)]


def test_a_bands_values_must_all_be_equal() -> None:
    signatures = np.arange(3 * 126, dtype=np.uint32).reshape(3, 126)
    signatures[2, :6] = signatures[0, :6]

    assert engines._grouped(signatures).is_empty()


def test_a_run_prints_what_each_engine_found_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    near_duplicates.main(["--chats", "400", "--only", "datasketch"])

    rows = {row[1].strip(): row[2].strip() for line in capsys.readouterr().out.splitlines() if len(row := line.split("│")) == 4}
    assert rows["precision of (row, kept)"] == "1.0000"
    assert rows["families lost"] == "0"
    assert float(rows["recall of true pairs"]) > 0.9
    assert int(rows["rows that go"]) > 20
    assert 50 < int(rows["peak memory, MB"].replace(",", "")) < 2_000


def test_an_engine_that_is_absent_stops_the_run_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(engines, "PEERS", tmp_path)

    with pytest.raises(SystemExit):
        near_duplicates.main(["--chats", "400"])

    assert "daft, daft_grouped, text_dedup: not installed; `make bench` installs" in capsys.readouterr().err


def test_only_the_engines_of_the_extra_folder_see_it() -> None:
    assert engines.environment("daft_grouped")["PYTHONPATH"] == str(engines.PEERS)
    assert engines.environment("flywheel") == dict(os.environ)


def test_memory_counts_the_processes_that_an_engine_starts() -> None:
    holding = "held = bytearray(80_000_000); print(flush=True); input()"
    starting = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holding!r}])"

    with subprocess.Popen([sys.executable, "-c", starting], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        held = near_duplicates._held(process.pid)
        process.communicate(b"\n")

    assert 80_000_000 < held < 160_000_000


def test_a_found_pair_counts_as_true_only_when_it_is_similar_enough() -> None:
    one = "the quick brown fox jumps over the lazy dog while seven wise owls watch from an old oak"
    texts = [one, one.upper() + "!", "something else entirely is said here by somebody", one.replace("seven", "five")]
    known = near_duplicates.truth(texts, [0, 0, -1, 0])

    assert known.alike == {(1, 0): True, (3, 0): False, (3, 1): False}
    assert near_duplicates._is_true(known, (0, 1))
    assert not near_duplicates._is_true(known, (2, 0))


def test_an_estimate_grows_with_the_chats() -> None:
    assert engines.announcement(["daft", "text_dedup"], 1_000_000).endswith("about: daft 40 s, text_dedup 4 min")


@pytest.mark.skipif(engines.missing("daft"), reason="`make bench` installs Daft")
def test_dafts_own_components_are_those_of_its_signatures_grouped_here(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(900)]
    # each is like the next, few are like the first
    windows = [" ".join(words[start : start + 200]) for start in range(0, 600, 10)]
    texts = ["nothing of the kind is said in this one at all", *np.random.default_rng(1).permutation(windows).tolist()]
    pl.DataFrame({"row": range(len(texts)), "text": texts}).write_parquet(tmp_path / "texts.parquet")

    for name in ("daft", "daft_grouped"):
        command = [sys.executable, "-m", engines.__name__, name, str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True, env=engines.environment(name))

    found = pl.read_parquet(tmp_path / "daft.parquet").sort("row")
    assert found.rows() == [(row, 1) for row in range(2, len(texts))]
    assert found.equals(pl.read_parquet(tmp_path / "daft_grouped.parquet").sort("row"))
