from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/separate.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/submission.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    table,


rule all:
    input:
        "results/table.txt",
        expand("submission/{name}/provenance.yaml", name=SUBMISSIONS),
        expand(
            "results/{system}/report/{figure}",
            system=SYSTEMS,
            figure=["medians.html", "boxplots.svg"],
        ),
        expand("results/{system}/report/losses.svg", system=TRAINED),
        expand(
            "results/{system}/preview.txt",
            system=SYSTEMS if SCORING["engine"] == "museval" else [],
        ),


onsuccess:
    print_result()


onerror:
    print_faults(log)
