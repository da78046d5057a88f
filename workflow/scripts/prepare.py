"""Adapter: decode and check the tracks of one job."""

from pathlib import Path

from madsep.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.stages.prepare import prepare
    from madsep.tracks import Track

    tracks = [Track(**values) for values in snakemake.params.tracks]
    training = tracks[0].subset == "train"
    signals = ["mixture", "vocals"] if training else ["mixture", "vocals", "accompaniment"]
    manifest = Path(snakemake.output.manifest)
    prepare(tracks, signals, training, manifest.parent, manifest)
