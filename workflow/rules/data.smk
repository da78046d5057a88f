rule prepare:
    input:
        sources,
    output:
        manifest="results/prepared{kind}/{batch}.json",
    log:
        "results/logs/prepare{kind}/{batch}.log",
    benchmark:
        "results/benchmarks/prepare{kind}/{batch}.tsv"
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * (
            1500
            + int(
                (6 if FOUR in wildcards.kind else 3)
                * max(t.duration_s for t in tracks_of(wildcards.batch))
            )
        ),
        runtime=lambda wildcards, attempt: attempt
        * minutes(tracks_of(wildcards.batch), 0.25),
    params:
        tracks=lambda wildcards: [asdict(track) for track in tracks_of(wildcards.batch)],
        signals=lambda wildcards: signals_of(wildcards.kind, wildcards.batch),
        mono=lambda wildcards: not wildcards.batch.startswith("test"),
        sample_rate_hz=lambda wildcards: rate_of(wildcards.kind),
    script:
        "../scripts/prepare.py"
