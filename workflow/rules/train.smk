# the folder's name depends on the recipe and the data, so finished weights are kept and reused
rule train:
    input:
        ask.training_prepared,
    output:
        "results/trainings/{training}/jobs/train.json",
    log:
        "results/logs/train/{training}.log",
    benchmark:
        "results/benchmarks/train/{training}.tsv"
    conda:
        "../envs/network.yaml"
    threads: config["threads"]["train"]
    resources:
        gpu=needs.gpu,
        mem_mb=needs.train_mb,
        runtime=1440,  # minutes; the next job resumes from the saved state
        slurm_extra="--signal=TERM@120",  # seconds before the limit
    params:
        system=ask.trained_system,
        seed=ask.training_seed,
        kind=ask.training_kind,
        data=ask.training_data,
    script:
        "../scripts/train.py"


rule checkpoint:
    input:
        ask.finished_training,
    output:
        "results/{system}/checkpoint.safetensors",
    log:
        "results/logs/checkpoint/{system}.log",
    conda:
        "../envs/network.yaml"
    params:
        recipe=ask.system_values,
    script:
        "../scripts/checkpoint.py"


rule losses:
    input:
        ask.finished_training,
    output:
        report(
            "results/{system}/losses.svg",
            caption="../report/losses.rst",
            category="{system}",
            labels={"figure": "training loss"},
        ),
    log:
        "results/logs/losses/{system}.log",
    conda:
        "../envs/madsep.yaml"
    params:
        training=lambda wildcards: plan.training_identities[wildcards.system],
    script:
        "../scripts/losses.py"
