"""Singing voice separation on MIR-1K: BSS Eval v3 of the voice, means over clips weighted by length."""

PROTOCOL_FILES = []  # nothing beside the table and the losses


rule score:
    input:
        prepared=lambda wildcards: prepared_for(
            wildcards.system, slugs_of(wildcards.batch)
        ),
        estimates=lambda wildcards: estimates_for(
            wildcards.system, slugs_of(wildcards.batch)
        ),
    output:
        table="results/{system}/scores/{batch}.csv",
    log:
        "results/logs/score/{system}/{batch}.log",
    benchmark:
        "results/benchmarks/score/{system}/{batch}.tsv"
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=lambda wildcards, attempt: attempt
        * minutes(tracks_of(wildcards.batch), 2),
    params:
        slugs=lambda wildcards: slugs_of(wildcards.batch),
        targets=lambda wildcards: SYSTEM_TARGETS[wildcards.system],
    script:
        "../scripts/nsdr.py"


rule aggregate:
    input:
        tables=lambda wildcards: expand(
            "results/{{system}}/scores/{batch}.csv", batch=batch_names("score", "test")
        ),
    output:
        "results/{system}/gnsdr.csv",
    log:
        "results/logs/aggregate/{system}.log",
    conda:
        "../envs/madsep.yaml"
    params:
        bootstrap=config["bootstrap"],
    script:
        "../scripts/aggregate_nsdr.py"


rule table:
    input:
        expand("results/{system}/gnsdr.csv", system=[*SYSTEMS, BASELINE]),
    output:
        report(
            "results/table.txt",
            caption="../report/gnsdr.rst",
            category="scores",
            labels={"table": "GNSDR, GSIR, GSAR"},
        ),
    log:
        "results/logs/table.log",
    conda:
        "../envs/madsep.yaml"
    params:
        systems=[*SYSTEMS, "mixture"],
    script:
        "../scripts/nsdr_table.py"
