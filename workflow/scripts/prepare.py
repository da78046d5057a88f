"""Adapter: decode and check the tracks of one job."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepare import prepare
    from madsep.data.tracks import Track

    tracks = [Track(**values) for values in snakemake.params.tracks]
    manifest, params = Path(snakemake.output.manifest), snakemake.params
    prepare(tracks, params.signals, params.mono, manifest.parent, manifest, params.sample_rate_hz)
