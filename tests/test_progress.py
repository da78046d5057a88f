"""Progress: plain lines for a log, a bar for a person."""

import logging
import re
from types import SimpleNamespace

import pytest

from madsep.core import progress
from madsep.core.logs import job_log, log
from madsep.core.progress import Progress


class Clock:
    """Time that passes when told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_without_a_terminal_a_plain_line_comes_at_most_once_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "madsep")
    with Progress("training MDL1", total=100, done=10) as shown:
        for step in range(1, 21):
            clock.now += 12
            shown.advance(1, f"loss {step}")
    # 12 s a step: lines after 72, 144, 216 s; time left by the steps of this run alone
    assert caplog.messages == [
        "training MDL1: 16 of 100, 17 min left; loss 6",
        "training MDL1: 22 of 100, 16 min left; loss 12",
        "training MDL1: 28 of 100, 14 min left; loss 18",
    ]
    assert capsys.readouterr() == ("", "")


def test_a_note_is_a_log_line_without_a_terminal(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.INFO, "madsep")
    with Progress("training MDL1", total=3) as shown:
        shown.note("epoch 1: loss 2.5")
    assert caplog.messages == ["training MDL1: epoch 1: loss 2.5"]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_and_the_notes_are_shown_and_nothing_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "madsep")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any stream for a terminal
    monkeypatch.setenv("COLUMNS", "200")
    with Progress("training MDL1", total=3) as shown:
        shown.advance(2, "loss 1.5")
        shown.note("epoch 1: loss 2.5")
    shown_text = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "training MDL1" in shown_text and "2/3" in shown_text and "loss 1.5" in shown_text and "epoch 1: loss 2.5" in shown_text
    assert caplog.messages == []


def test_the_bar_ends_when_the_task_fails() -> None:
    shown = Progress("training MDL1", total=3)
    with pytest.raises(RuntimeError), shown:
        raise RuntimeError
    assert shown.bar.finished is False and not shown.bar.live.is_started


def test_names_with_brackets_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with Progress("separating [live] a[/b].wav", total=1) as shown:
        shown.note("epoch [1]")
        shown.advance(1, "[bold]A[/x]")
    found = capsys.readouterr().err
    assert all(text in found for text in ("separating [live] a[/b].wav", "epoch [1]", "[bold]A[/x]"))


def test_lines_of_the_log_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with job_log(prefix="madsep: "), Progress("scoring", total=2) as shown:
        log.info("scored A")
        shown.advance(1, "A")
    found = capsys.readouterr().err
    assert re.search(r"[\r\n](\x1b\[[?\d;]*[A-Za-z])*madsep: INFO: scored A *$", found, re.MULTILINE), found
