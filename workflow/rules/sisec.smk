"""SiSEC 2018 on MUSDB18: previews, audits, the comparison, submissions."""


# museval scores again a few of the tracks that the fast engine has scored
rule audit:
    input:
        prepared=ask.test_prepared,
        estimates=ask.test_estimated,
        scores=ask.audited_scored,
    output:
        "results/{system}/audit.json",
    log:
        "results/logs/audit/{system}.log",
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=needs.audit_mb,
        runtime=needs.audit_minutes,
    params:
        tracks=ask.audited_tracks,
    script:
        "../scripts/audit.py"


# the fast engine shows the medians while museval is still scoring
rule preview:
    input:
        prepared=ask.test_prepared,
        estimates=ask.test_estimated,
    output:
        "results/{system}/preview.txt",
    log:
        "results/logs/preview/{system}.log",
    priority: 10
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["separate"]
    resources:
        mem_mb=needs.preview_mb,
        runtime=needs.preview_minutes,
    params:
        tracks=ask.test_tracks,
    script:
        "../scripts/preview.py"


rule compare:
    input:
        expand("results/{system}/tables.json", system=plan.scored),
    output:
        report(
            "results/compare/index.html",
            caption="../report/compare.rst",
            category="comparison",
            labels={"figure": "all systems"},
        ),
    log:
        "results/logs/compare.log",
    conda:
        "../envs/madsep.yaml"
    params:
        systems=plan.compared,
        listening="results/listen/index.html" in plan.results,
        bootstrap=config["bootstrap"],
        identity=plan.identity(plan.scored),
    script:
        "../scripts/compare.py"


rule submission:
    input:
        ask.submitted_files,
    output:
        update("submission/{name}/provenance.yaml"),  # the job reads the previous file
    log:
        "results/logs/submission/{name}.log",
    conda:
        "../envs/madsep.yaml"
    params:
        made_from=ask.submission,
    script:
        "../scripts/submission.py"
