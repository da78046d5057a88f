rule separate:
    input:
        checkpoint="results/{system}/checkpoint.safetensors",
        prepared=lambda wildcards: prepared_for(slugs_of(wildcards.batch)),
    output:
        manifest="results/{system}/estimates/{batch}.json",
    log:
        "results/logs/separate/{system}/{batch}.log",
    benchmark:
        "results/benchmarks/separate/{system}/{batch}.tsv"
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["separate"]
    resources:
        gpu=GPU_JOB,
        mem_mb=3000,
    params:
        slugs=lambda wildcards: [track.slug for track in tracks_of(wildcards.batch)],
    script:
        "../scripts/separate.py"
