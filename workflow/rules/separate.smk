rule separate:
    input:
        checkpoint="results/{system}/checkpoint.safetensors",
        prepared=ask.separate_prepared,
    output:
        "results/{system}/estimates/jobs/{job}.json",
    log:
        "results/logs/separate/{system}/{job}.log",
    benchmark:
        "results/benchmarks/separate/{system}/{job}.tsv"
    wildcard_constraints:
        system=any_of(plan.selection.recipes),
    conda:
        "../envs/network.yaml"
    threads: config["threads"]["separate"]
    resources:
        gpu=needs.gpu,
        mem_mb=needs.separate_mb,
        runtime=needs.separate_minutes,
    params:
        tracks=ask.separate_tracks,
    script:
        "../scripts/separate.py"


rule separate_external:
    input:
        ask.separate_prepared,
    output:
        "results/{system}/estimates/jobs/{job}.json",
    log:
        "results/logs/separate/{system}/{job}.log",
    benchmark:
        "results/benchmarks/separate/{system}/{job}.tsv"
    wildcard_constraints:
        system=any_of(plan.selection.externals),
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["separate"]
    resources:
        gpu=needs.external_gpu,
        mem_mb=needs.external_mb,
        runtime=needs.external_minutes,
    params:
        tracks=ask.separate_tracks,
    script:
        "../scripts/separate_external.py"
