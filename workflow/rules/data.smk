rule prepare:
    input:
        sources,
    output:
        manifest="results/prepared/{batch}.json",
    log:
        "results/logs/prepare/{batch}.log",
    benchmark:
        "results/benchmarks/prepare/{batch}.tsv"
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * (500 + int(3 * max(t.duration_s for t in tracks_of(wildcards.batch)))),
    params:
        tracks=lambda wildcards: [asdict(track) for track in tracks_of(wildcards.batch)],
    script:
        "../scripts/prepare.py"
