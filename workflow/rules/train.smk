rule train:
    input:
        prepared=prepared("train"),
    output:
        weights="results/{system}/training/weights.safetensors",
        history="results/{system}/training/history.csv",
    log:
        "results/logs/train/{system}.log",
    benchmark:
        "results/benchmarks/train/{system}.tsv"
    params:
        recipe=lambda wildcards: load_recipe(wildcards.system, config["overrides"]).training_half(),
        validation_names=lambda wildcards: VALIDATION,
    threads: config["threads"]["train"]
    resources:
        gpu=GPU_JOB,
        mem_mb=6000,
    script:
        "../scripts/train.py"


rule checkpoint:
    input:
        weights=lambda wildcards: f"results/{trained_by(wildcards.system)}/training/weights.safetensors",
    output:
        checkpoint="results/{system}/checkpoint.safetensors",
    log:
        "results/logs/checkpoint/{system}.log",
    params:
        recipe=lambda wildcards: RECIPES[wildcards.system].model_dump(mode="json", serialize_as_any=True),
    script:
        "../scripts/checkpoint.py"
