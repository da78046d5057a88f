rule figures:
    input:
        medians=["results/{system}/medians.csv", f"results/{BASELINE}/medians.csv"],
        tracks=[
            "results/{system}/track_medians.csv",
            f"results/{BASELINE}/track_medians.csv",
        ],
        summary="results/{system}/summary.csv",
    output:
        boxplots=report(
            "results/{system}/report/boxplots.svg",
            caption="../report/boxplots.rst",
            category="{system}",
            labels={"figure": "medians of each track"},
        ),
        medians=report(
            "results/{system}/report/medians.html",
            caption="../report/medians.rst",
            category="{system}",
            labels={"figure": "medians"},
        ),
    log:
        "results/logs/figures/{system}.log",
    conda:
        "../envs/madsep.yaml"
    script:
        "../scripts/figures.py"


rule table:
    input:
        expand("results/{system}/medians.csv", system=[BASELINE, *SYSTEMS]),
    output:
        "results/table.txt",
    log:
        "results/logs/table.log",
    conda:
        "../envs/madsep.yaml"
    params:
        systems=SYSTEMS,
    script:
        "../scripts/table.py"
