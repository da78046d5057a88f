"""The figure of a training's losses."""

from pathlib import Path

import pytest

from madsep.core.errors import InputError
from madsep.training.figures import plot_losses

HISTORY = "epoch,step,loss,kl_denoised,kl_masked,validation_loss\n"


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text(HISTORY + "1,10,3,1.5,1.5,\n2,20,2,1,1,2.5\n")
    paths = [tmp_path / f"{name}.svg" for name in "ab"]
    for path in paths:
        plot_losses(history, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "<dc:date>" not in paths[0].read_text()
    assert sorted(tmp_path.iterdir()) == [*paths, history]


def test_losses_with_and_without_validation(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    path = tmp_path / "losses.svg"
    history.write_text(HISTORY + "1,10,3,1.5,1.5,\n2,20,2,1,1,\n")
    plot_losses(history, path)
    svg = path.read_text()
    assert "<!-- epoch -->" in svg and "<!-- validation -->" not in svg
    assert "<!-- training: KL after the denoiser, nats -->" in svg
    history.write_text(HISTORY + "1,10,3,1.5,1.5,3.5\n2,20,2,1,1,\n")
    plot_losses(history, path)
    assert "<!-- validation -->" in path.read_text()


@pytest.mark.parametrize("text", [None, "", "epoch,loss\n1,2\n", HISTORY, HISTORY + "1,10,x,1,1,\n"])
def test_histories_of_another_form_are_refused(tmp_path: Path, text: str | None) -> None:
    history = tmp_path / "history.csv"
    if text is not None:
        history.write_text(text)
    with pytest.raises(InputError, match=r"history\.csv") as error:
        plot_losses(history, tmp_path / "losses.svg")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "losses.svg").exists()
