rule compare:
    input:
        expand("results/{system}/track_medians.csv", system=[BASELINE, *SYSTEMS]),
    output:
        page=report(
            "results/compare/index.html",
            caption="../report/compare.rst",
            category="comparison",
            labels={"figure": "all systems"},
        ),
        tables=directory("results/compare/tables"),
        figures=directory("results/compare/figures"),
    log:
        "results/logs/compare.log",
    conda:
        "../envs/madsep.yaml"
    params:
        systems=[BASELINE, *SYSTEMS],
        recipes={name: facts_of(name) for name in RECIPES},
        layouts=sorted({TRACKS[slug].layout for slug in TEST}),
        bootstrap=config["bootstrap"],
    script:
        "../scripts/compare.py"
