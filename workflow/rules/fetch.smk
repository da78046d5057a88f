# the only rule that needs a network; it runs on the machine on which snakemake was started
rule fetch:
    default_target: True
    log:
        "results/logs/fetch.log",
    localrule: True
    conda:
        "../envs/madsep.yaml"
    params:
        folder=sample_root(config),
    script:
        "../scripts/fetch.py"
