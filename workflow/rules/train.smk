rule train:
    input:
        prepared=lambda wildcards: prepared_training(wildcards.system),
    output:
        weights="results/{system}/training/weights.safetensors",
        history="results/{system}/training/history.csv",
    log:
        "results/logs/train/{system}.log",
    benchmark:
        "results/benchmarks/train/{system}.tsv"
    conda:
        "../envs/network.yaml"
    threads: config["threads"]["train"]
    resources:
        gpu=gpu_job,
        mem_mb=lambda wildcards, attempt: min(attempt, 2) * 6000,  # not with each cut by the time limit
        runtime=1440,  # minutes; the next job goes on from where this one was cut
        slurm_extra="--signal=TERM@120",  # seconds before that the state is saved
    params:
        recipe=lambda wildcards: recipe_of(wildcards.system).training_half(),
        validation_names=lambda wildcards: (
            VALIDATION if recipe_of(wildcards.system).training.validation else []
        ),
    script:
        "../scripts/train.py"


rule checkpoint:
    input:
        weights=lambda wildcards: f"results/{trained_by(wildcards.system)}/training/weights.safetensors",
    output:
        checkpoint="results/{system}/checkpoint.safetensors",
    log:
        "results/logs/checkpoint/{system}.log",
    conda:
        "../envs/network.yaml"
    params:
        recipe=lambda wildcards: RECIPES[wildcards.system].system_values(),
    script:
        "../scripts/checkpoint.py"


rule losses:
    input:
        history="results/{system}/training/history.csv",
    output:
        report(
            "results/{system}/report/losses.svg",
            caption="../report/losses.rst",
            category="{system}",
            labels={"figure": "training loss"},
        ),
    log:
        "results/logs/losses/{system}.log",
    conda:
        "../envs/madsep.yaml"
    script:
        "../scripts/losses.py"
