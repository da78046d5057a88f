rule prepare:
    output:
        "results/prepared/{kind}/jobs/{job}.json",
    log:
        "results/logs/prepare/{kind}/{job}.log",
    benchmark:
        "results/benchmarks/prepare/{kind}/{job}.tsv"
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=needs.prepare_mb,
        runtime=needs.prepare_minutes,
    params:
        tracks=ask.prepare_tracks,
        form=lambda wildcards: asdict(plan.form(wildcards.kind)),
    script:
        "../scripts/prepare.py"
