from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


# for --sdm apptainer; built as docs/containers.md says
container: "workflow/envs/madsep.sif"


include: "workflow/rules/systems.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/messages.smk"


if TRACKS:  # none while the sample is not fetched

    include: "workflow/rules/data.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/separate.smk"
    include: f"workflow/rules/{PROTOCOL}.smk"
    include: "workflow/rules/couplings.smk"

    localrules:
        all,
        table,

    rule all:
        input:
            "results/table.txt",
            expand("results/{system}/report/losses.svg", system=TRAINED),
            PROTOCOL_FILES,
            ["results/couplings.html"] if config["couplings"] else [],


# the only rule that needs a network; runs where snakemake was started
if config["dataset"] == "sample":

    rule fetch:
        log:
            "results/logs/fetch.log",
        localrule: True
        conda:
            "workflow/envs/madsep.yaml"
        params:
            folder=SAMPLE,
        script:
            "workflow/scripts/fetch.py"


onstart:
    refuse_second_run()


onsuccess:
    print_result()


onerror:
    print_faults(log)
