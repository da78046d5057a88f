"""Segments: what is read and estimated, against direct counting and the framing that the published code documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madsep.core.settings import Segments
from madsep.front_end.segments import Plan, counted, full_plan, legacy_plan, read_padded, training_plan
from madsep.systems.recipe import load_recipe

PUBLISHED = Segments(n_frames=60, n_context=10, overlap=0)
ANY_SEGMENTS = st.tuples(st.integers(1, 12), st.integers(0, 6)).map(
    lambda sizes: Segments(n_frames=sizes[0] + 2 * sizes[1], n_context=sizes[1], overlap=0)
)


def estimated(plan: Plan) -> list[int]:
    """Frames that the plan's segments estimate, in order, segment by segment."""
    firsts = [plan.first_read + number * plan.step for number in range(plan.n_segments)]
    return [frame for first in firsts for frame in range(first + plan.n_context, first + plan.n_read - plan.n_context)]


@settings(max_examples=200, deadline=None)
@given(ANY_SEGMENTS, st.integers(1, 500))
def test_splitting_and_joining_gives_back_every_length(segments: Segments, n_frames: int) -> None:
    frames = np.arange(1, n_frames + 1, dtype=np.float32)[None]
    plan = full_plan(segments, n_frames)
    reads = [read_padded(frames, plan.first_read + number * plan.step, plan.n_read) for number in range(plan.n_segments)]
    joined = np.concatenate([read[:, plan.n_context : plan.n_read - plan.n_context] for read in reads], axis=1)
    np.testing.assert_array_equal(joined[:, :n_frames], frames)
    assert not joined[:, n_frames:].any() and joined.shape[1] - n_frames < segments.step


@settings(max_examples=100, deadline=None)
@given(ANY_SEGMENTS, st.integers(1, 500))
def test_full_plan_estimates_each_frame_exactly_once(segments: Segments, n_frames: int) -> None:
    plan = full_plan(segments, n_frames)
    assert estimated(plan) == list(range(plan.end_estimated))
    assert n_frames <= plan.end_estimated < n_frames + segments.step
    assert plan.first_estimated == 0


def test_1000_rows_of_the_published_code() -> None:
    """25 sequences begin inside, 16 are in whole batches of 16: rows 10 to 649 are estimated; the full plan estimates all 1000."""
    n_samples = 994 * 384  # the published transform has floor(n_samples / hop) + 6 rows
    assert legacy_plan(PUBLISHED, n_samples, 384, 1).n_segments == 25
    plan = legacy_plan(PUBLISHED, n_samples, 384, 16)
    assert plan.n_segments == 16
    assert estimated(plan) == list(range(10, 650))
    assert (plan.first_estimated, plan.end_estimated) == (10, 650)
    assert estimated(full_plan(PUBLISHED, 1000)) == list(range(1000))


def published_sequences(n_frames: int, n_in_sequence: int = 30, overlap: int = 25) -> list[int]:
    """First frames of those that LargeDataset.loadFile of DeepConvSep reads from a file, of which getNum counts how many there are."""
    n_counted = max(1, int(np.floor((n_frames + np.floor(n_frames / n_in_sequence) * overlap) / n_in_sequence)))
    starts, start = [], 0
    while start + n_in_sequence < n_frames:
        starts.append(start)
        start += n_in_sequence - overlap
    return starts[:n_counted]


def test_of_each_block_those_segments_are_counted_that_the_published_code_reads() -> None:
    """Blocks of 30 s have 2586 frames there; 157 of 512 sequences are read."""
    cha = load_recipe("CHA", {}).segments
    assert len(published_sequences(2586)) == 157 and len(range(0, 2586 - 30, 5)) == 512
    n_frames, block = 3 * 2585 + 700, 2585  # of a whole number of steps, so that segments begin with each block
    firsts = np.arange(0, n_frames, 5)
    kept = firsts[counted(cha, firsts, n_frames, block)]
    expected = [start + number * block for number in range(3) for start in published_sequences(2586)]
    assert kept.tolist() == [*expected, *(3 * block + start for start in published_sequences(700))]


@settings(max_examples=50, deadline=None)
@given(st.integers(31, 20_000), st.integers(31, 5000))
def test_counted_segments_are_as_many_in_every_whole_block(n_frames: int, block: int) -> None:
    cha = load_recipe("CHA", {}).segments
    firsts = np.arange(0, n_frames, cha.step)
    blocks = firsts[counted(cha, firsts, n_frames, block)] // block
    whole = [int((blocks == number).sum()) for number in range(n_frames // block)]
    n_counted = (block + block // 30 * 25) // 30
    assert all(n_counted - 1 <= found <= n_counted + 1 for found in whole)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3_000_000), st.integers(1, 32))
def test_legacy_plan_is_the_published_codes_count(n_samples: int, batch_size: int) -> None:
    """Rows are padded to the next multiple of 40, to one more where they are one; sequences that read past that are left out."""
    n_rows = (n_samples + 6 * 384) // 384
    n_padded = n_rows + 40 - n_rows % 40
    starts = [start for start in range(0, n_padded, 40) if start + 60 <= n_padded]
    whole_batches = starts[: len(starts) - len(starts) % batch_size]
    plan = legacy_plan(PUBLISHED, n_samples, 384, batch_size)
    assert [plan.first_read + number * plan.step for number in range(plan.n_segments)] == whole_batches


@settings(max_examples=100, deadline=None)
@given(ANY_SEGMENTS, st.integers(1, 300), st.integers(0, 5))
def test_training_plan_estimates_the_inner_frames_without_the_edges(segments: Segments, n_frames: int, n_dropped: int) -> None:
    plan = training_plan(segments, n_frames, n_dropped)
    frames = estimated(plan)
    context = segments.n_context
    assert plan.first_read == n_dropped  # the context in front is the track's own
    wanted = range(n_dropped + context, n_frames - n_dropped - context)
    assert frames == list(range(n_dropped + context, n_dropped + context + len(frames)))
    assert set(wanted) <= set(frames)
    assert len(frames) < max(len(wanted), 1) + segments.step  # no segment more than these need
    assert plan.n_segments >= 1


@pytest.mark.parametrize(("n_frames", "n_segments"), [(26, 1), (66, 1), (67, 2), (106, 2), (107, 3)])
def test_training_plan_by_hand(n_frames: int, n_segments: int) -> None:
    assert training_plan(PUBLISHED, n_frames, 3).n_segments == n_segments


@settings(max_examples=200, deadline=None)
@given(st.integers(-50, 50), st.integers(0, 60), st.integers(0, 30))
def test_reading_is_slicing_of_the_padded_signal(first: int, n_samples: int, n_total: int) -> None:
    signals = np.random.default_rng(0).standard_normal((2, 3, n_total)).astype(np.float32)
    block = read_padded(signals, first, n_samples)
    np.testing.assert_array_equal(block, np.pad(signals, ((0, 0), (0, 0), (50, 120)))[..., 50 + first : 50 + first + n_samples])
    assert block.dtype == np.float32


def test_reading_makes_a_new_array() -> None:
    signals = np.ones((1, 10), np.float32)
    read_padded(signals, 2, 5)[:] = 0
    assert signals.all()
