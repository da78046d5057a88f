rule score:
    input:
        prepared=ask.score_prepared,
        estimates=ask.score_estimated,
    output:
        "results/{system}/scores/jobs/{job}.json",
    log:
        "results/logs/score/{system}/{job}.log",
    benchmark:
        "results/benchmarks/score/{system}/{job}.tsv"
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["score"]
    resources:
        mem_mb=needs.score_mb,
        runtime=needs.score_minutes,
    params:
        tracks=ask.score_tracks,
    script:
        "../scripts/score.py"


rule aggregate:
    input:
        prepared=ask.test_prepared,
        estimates=ask.test_estimated,
        scores=ask.test_scored,
    output:
        "results/{system}/tables.json",
    log:
        "results/logs/aggregate/{system}.log",
    conda:
        "../envs/madsep.yaml"
    params:
        tracks=ask.test_tracks,
        bootstrap=config["bootstrap"],
        protocol=plan.protocol.name,
    script:
        "../scripts/aggregate.py"


# the table that a run ends with; table.json identifies its scores
rule table:
    input:
        expand("results/{system}/tables.json", system=plan.scored),
    output:
        text=report(
            "results/table.txt",
            caption="../report/table.rst",
            category="scores",
            labels={"table": "all systems"},
        ),
        identity="results/table.json",
    log:
        "results/logs/table.log",
    localrule: True
    conda:
        "../envs/madsep.yaml"
    params:
        systems=plan.scored,
        protocol=plan.protocol.name,
        identity=plan.identity(plan.scored),
    script:
        "../scripts/table.py"
