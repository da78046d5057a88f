def sources(wildcards):
    """Files that a job's tracks are read from."""
    paths = [Path(track.path) for track in tracks_of(wildcards.batch)]
    return [str(file) for path in paths for file in ([path] if path.is_file() else sorted(path.glob("*.wav")))]


rule prepare:
    input:
        sources,
    output:
        manifest="results/prepared/{batch}.json",
    log:
        "results/logs/prepare/{batch}.log",
    benchmark:
        "results/benchmarks/prepare/{batch}.tsv"
    params:
        tracks=lambda wildcards: [asdict(track) for track in tracks_of(wildcards.batch)],
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (500 + int(3 * max(t.duration_s for t in tracks_of(wildcards.batch)))),
    script:
        "../scripts/prepare.py"
