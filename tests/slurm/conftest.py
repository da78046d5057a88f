"""The Slurm cluster that tests share."""

from collections.abc import Iterator

import pytest
from cluster import Cluster, cluster, missing


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm with two nodes, the second with a fake GPU. Tests leave both nodes up and no jobs in the queue."""
    if absent := missing():
        pytest.skip(f"no Slurm to test on: {', '.join(absent)} missing; Debian, Ubuntu: sudo apt-get install slurm-wlm munge")
    with cluster(tmp_path_factory.mktemp("slurm") / "cluster") as running:
        yield running
