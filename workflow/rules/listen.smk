"""The listening page with the estimates of all systems of a run."""


rule listen:
    input:
        expand("results/{system}/tables.json", system=plan.scored),
    output:
        report(
            "results/listen/index.html",
            caption="../report/listen.rst",
            category="listening",
            labels={"page": "all systems"},
        ),
    log:
        "results/logs/listen.log",
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=needs.listen_mb,
        runtime=needs.listen_minutes,
    params:
        systems=plan.scored,
        kinds=plan.listened_kinds,
        options=config["listen"],
        identity=plan.identity(plan.scored),
    script:
        "../scripts/listen.py"
