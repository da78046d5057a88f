"""TensorBoard events of a training. The package `tensorboard` is optional."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madsep.core.extras import missing
from madsep.core.files import write_error
from madsep.core.logs import log

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class Events:
    """Events in `folder`/tensorboard. If the package is missing, one log line says so, and nothing is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.writer: SummaryWriter | None = None
        self.n_rows = 0  # number of rows already written

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the new rows among those of all epochs, as scalars. Raises DiskFull if the disk is full."""
        try:
            if writer := self._open():
                for row in rows[self.n_rows :]:
                    for name, value in row.items():
                        if name not in ("epoch", "step") and value is not None:
                            writer.add_scalar(name, value, row["epoch"])
                writer.flush()
        except OSError as error:
            self.writer = None  # the next rows get a new file
            raise (write_error(self.folder, error) or error) from None
        self.n_rows = len(rows)

    def close(self) -> None:
        """Write what is still buffered. Raises DiskFull."""
        if self.writer is not None:
            try:
                self.writer.close()
            except OSError as error:
                raise (write_error(self.folder, error) or error) from None

    def _open(self) -> "SummaryWriter | None":
        if self.writer is None:
            if line := missing("tensorboard", "writing TensorBoard events"):
                if not self.n_rows:
                    log.info("%s; history.csv holds the same figures", line)
                return None
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), filename_suffix=".madsep")
        return self.writer
