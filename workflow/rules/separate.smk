rule separate:
    input:
        checkpoint="results/{system}/checkpoint.safetensors",
        prepared=lambda wildcards: prepared_for(
            wildcards.system, slugs_of(wildcards.batch)
        ),
    output:
        manifest="results/{system}/estimates/{batch}.json",
    log:
        "results/logs/separate/{system}/{batch}.log",
    benchmark:
        "results/benchmarks/separate/{system}/{batch}.tsv"
    wildcard_constraints:
        system=any_of(RECIPES),
    conda:
        "../envs/network.yaml"
    threads: config["threads"]["separate"]
    resources:
        gpu=gpu_job,
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt
        * minutes(tracks_of(wildcards.batch), 1),
    params:
        slugs=lambda wildcards: [track.slug for track in tracks_of(wildcards.batch)],
    script:
        "../scripts/separate.py"


rule separate_external:
    input:
        prepared=lambda wildcards: prepared_for(
            wildcards.system, slugs_of(wildcards.batch)
        ),
        estimates=given_estimates,
    output:
        manifest="results/{system}/estimates/{batch}.json",
    log:
        "results/logs/separate/{system}/{batch}.log",
    benchmark:
        "results/benchmarks/separate/{system}/{batch}.tsv"
    wildcard_constraints:
        system=any_of(EXTERNAL),
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["separate"]
    resources:
        gpu=lambda wildcards: (
            gpu_job(wildcards) if EXTERNAL[wildcards.system].separator else 0
        ),
        mem_mb=lambda wildcards, attempt: attempt
        * (1000 + int(10 * max(t.duration_s for t in tracks_of(wildcards.batch)))),
        runtime=lambda wildcards, attempt: attempt
        * minutes(tracks_of(wildcards.batch), 5),
    params:
        slugs=lambda wildcards: slugs_of(wildcards.batch),
        targets=lambda wildcards: SYSTEM_TARGETS[wildcards.system],
        external=lambda wildcards: EXTERNAL[wildcards.system].model_dump(),
        fingerprint=lambda wildcards: FINGERPRINTS.get(wildcards.system),
    script:
        "../scripts/separate_external.py"
