"""Start and stop a Slurm for the tests: munged, slurmctld and two slurmd on this machine, all in one folder.

node1 has four CPUs. node2 has four CPUs and a pretended GPU. Nothing is written outside the folder, and daemons that already run are left
alone. Slurm has no accounting here.
"""

import contextlib
import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

NODES = ("node1", "node2")
GPU_NODE = "node2"
DAEMONS = ("munged", "slurmctld", "slurmd")
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # folders of daemons, which may not be on a user's PATH
MUNGE_FILES = ("socket", "key-file", "pid-file", "log-file", "seed-file")
PATIENCE_S = 60.0
SLURM_CONF = """\
ClusterName=madsep
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
KillWait=10
MinJobAge=86400
ReturnToService=1
SlurmdTimeout=10
NodeName=node1 NodeHostname=localhost Port={ports[1]} CPUs=4 RealMemory=24000
NodeName=node2 NodeHostname=localhost Port={ports[2]} CPUs=4 RealMemory=24000 Gres=gpu:1
PartitionName=main Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""
GRES_CONF = "NodeName=node2 Name=gpu File=/dev/null\n"


def missing() -> list[str]:
    """Return the daemons that are not installed."""
    return [name for name in DAEMONS if shutil.which(name, path=_path()) is None]


@dataclass
class Cluster:
    """A running Slurm. `environment` is that of a user who submits jobs."""

    folder: Path
    environment: Mapping[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)  # munged, slurmctld, node1, node2

    def command(self, *arguments: str, check: bool = True) -> str:
        """Return the standard output of one of Slurm's commands. Raises AssertionError if it fails, unless `check` is false."""
        completed = subprocess.run(arguments, env=self.environment, capture_output=True, encoding="utf-8", check=False)
        if check and completed.returncode:
            raise AssertionError(f"{' '.join(arguments)}: {completed.stdout}{completed.stderr}")
        return completed.stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Return all jobs that Slurm remembers: id -> the fields of `scontrol show job` (JobState, NodeList, StartTime, Comment, ...)."""
        lines = self.command("scontrol", "show", "job", "--oneliner").splitlines()
        found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
        return {job["JobId"]: job for job in found}

    def jobs_of(self, rule: str) -> list[dict[str, str]]:
        """Return the jobs of one rule of the workflow, in the order of their submission."""
        ours = [job for job in self.jobs().values() if re.fullmatch(rf"rule_{rule}(_wildcards_.*)?", job.get("Comment", ""))]
        return sorted(ours, key=lambda job: int(job["JobId"]))

    def start(self, name: str) -> None:
        """Start a daemon: munged, slurmctld, node1 or node2. `stop` or the end of the cluster ends it."""
        settings = f"{self.folder}/slurm.conf"
        commands = {
            "munged": ["munged", "--foreground", "--force", *(f"--{key}={self.folder}/munge.{key}" for key in MUNGE_FILES)],
            "slurmctld": ["slurmctld", "-D", "-f", settings],
            **{node: ["slurmd", "-D", "-N", node, "-f", settings] for node in NODES},
        }
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(commands[name], env=self.environment, stdout=out, stderr=out, start_new_session=True)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon with a signal. Jobs that it started continue, as they do on a real node."""
        process = self.processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait_for(self, happened: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until a condition holds. If it does not hold in time, fail with the last lines of the daemons' logs."""
        deadline = time.monotonic() + patience_s
        while not happened():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {patience_s:.0f} s; ended: {dead}\n{self.last_lines()}")
            time.sleep(0.1)

    def nodes_up(self) -> bool:
        """Whether both nodes are idle or run jobs."""
        states = self.command("sinfo", "--noheader", "--Node", "--format=%T", check=False).split()
        return len(states) == len(NODES) and set(states) <= {"idle", "mixed", "allocated"}

    def last_lines(self, n_lines: int = 15) -> str:
        """Return the last lines of the daemons' logs."""
        logs = [*sorted(self.folder.glob("*.log")), *sorted(self.folder.glob("*.out"))]
        return "\n".join(f"== {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-n_lines:]) for log in logs)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a Slurm in `folder`, which must be empty and have a short path. Whatever happens, it is stopped afterwards."""
    for name in ("bin", "state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key-file"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(SLURM_CONF.format(folder=folder, user=getpass.getuser(), ports=_free_ports(3)))
    (folder / "gres.conf").write_text(GRES_CONF)
    srun = folder / "bin/srun"  # the jobstep plugin starts srun without the SLURM_* variables
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=_path())} "$@"\n')
    srun.chmod(0o755)
    others = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
    slurm = Cluster(folder, others | {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{_path()}"})
    try:
        slurm.start("munged")
        slurm.wait_for((folder / "munge.socket").exists, "munged opens its socket")
        for name in ("slurmctld", *NODES):
            slurm.start(name)
        slurm.wait_for(slurm.nodes_up, "the nodes are idle")
        yield slurm
    finally:
        for name in reversed(list(slurm.processes)):
            slurm.stop(name)
        _end_jobs(slurm)


def _end_jobs(slurm: Cluster) -> None:
    """End processes that jobs and failed tests left running. Call it after the daemons have ended, so that they start no more."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and _is_of(slurm, process):
                process.kill()


def _is_of(slurm: Cluster, process: psutil.Process) -> bool:
    """Whether a process belongs to this cluster: its environment names slurm.conf, or it is a slurmstepd that writes a node's log."""
    if process.name().startswith("slurmstepd"):
        return any(Path(file.path).is_relative_to(slurm.folder) for file in process.open_files())
    return process.environ().get("SLURM_CONF") == slurm.environment["SLURM_CONF"]


def _path() -> str:
    return f"{os.environ['PATH']}:{SYSTEM_PATH}"


def _free_ports(n_ports: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n_ports)]
        for bound in sockets:
            bound.bind(("", 0))
        return [bound.getsockname()[1] for bound in sockets]
