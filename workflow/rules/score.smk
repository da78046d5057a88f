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
    threads: config["threads"]["score"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * scoring_mb(wildcards.system, slugs_of(wildcards.batch), SCORING["engine"]),
        runtime=lambda wildcards, attempt: attempt
        * minutes(tracks_of(wildcards.batch), 2),
    params:
        slugs=lambda wildcards: slugs_of(wildcards.batch),
        targets=lambda wildcards: SYSTEM_TARGETS[wildcards.system],
        engine=SCORING["engine"],
    script:
        "../scripts/score.py"


# where the fast engine scores, museval scores a few tracks again
rule audit:
    input:
        prepared=lambda wildcards: prepared_for(wildcards.system, AUDITED),
        estimates=lambda wildcards: estimates_for(wildcards.system, AUDITED),
        scores=lambda wildcards: expand(
            "results/{{system}}/scores/{batch}.csv", batch=jobs_with("score", AUDITED)
        ),
    output:
        report="results/{system}/audit.json",
    log:
        "results/logs/audit/{system}.log",
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * scoring_mb(wildcards.system, AUDITED, "museval"),
        runtime=lambda wildcards, attempt: attempt
        * minutes([TRACKS[slug] for slug in AUDITED], 2),
    params:
        slugs=AUDITED,
        targets=lambda wildcards: SYSTEM_TARGETS[wildcards.system],
    script:
        "../scripts/audit.py"


# where museval scores, the fast engine shows the medians first
rule preview:
    input:
        prepared=lambda wildcards: prepared_for(wildcards.system, TEST),
        estimates=lambda wildcards: estimates_for(wildcards.system, TEST),
    output:
        table="results/{system}/preview.txt",
    log:
        "results/logs/preview/{system}.log",
    priority: 10
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["separate"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * scoring_mb(wildcards.system, TEST, "fast"),
        runtime=lambda wildcards, attempt: attempt
        * minutes([TRACKS[slug] for slug in TEST], 0.25),
    params:
        slugs=TEST,
        targets=lambda wildcards: SYSTEM_TARGETS[wildcards.system],
    script:
        "../scripts/preview.py"


rule aggregate:
    input:
        tables=lambda wildcards: expand(
            "results/{{system}}/scores/{batch}.csv", batch=batch_names("score", "test")
        ),
    output:
        medians="results/{system}/medians.csv",
        summary="results/{system}/summary.csv",
        track_medians="results/{system}/track_medians.csv",
        whole_tracks="results/{system}/global.csv",
    log:
        "results/logs/aggregate/{system}.log",
    conda:
        "../envs/madsep.yaml"
    params:
        names={slug: TRACKS[slug].name for slug in TEST},
        bootstrap=config["bootstrap"],
    script:
        "../scripts/aggregate.py"
