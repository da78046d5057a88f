from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/separate.smk"
include: f"workflow/rules/{PROTOCOL}.smk"


localrules:
    all,
    table,


rule all:
    input:
        "results/table.txt",
        expand("results/{system}/report/losses.svg", system=TRAINED),
        PROTOCOL_FILES,


onsuccess:
    print_result()


onerror:
    print_faults(log)
