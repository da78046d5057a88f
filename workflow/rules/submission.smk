rule submission:
    input:
        checkpoint=lambda wildcards: f"results/{SUBMISSIONS[wildcards.name]}/checkpoint.safetensors",
        prepared=lambda wildcards: [
            *prepared_training(trained_by(SUBMISSIONS[wildcards.name])),
            *prepared_for(SUBMISSIONS[wildcards.name], TEST),
        ],
        estimates=lambda wildcards: expand(
            "results/{system}/estimates/{batch}.json",
            system=SUBMISSIONS[wildcards.name],
            batch=batch_names("separate", "test"),
        ),
        scores=lambda wildcards: expand(
            "results/{system}/scores/{batch}.csv",
            system=SUBMISSIONS[wildcards.name],
            batch=batch_names("score", "test"),
        ),
        audit=lambda wildcards: (
            [f"results/{SUBMISSIONS[wildcards.name]}/audit.json"]
            if SCORING["engine"] == "fast" and AUDITED
            else []
        ),
    output:
        "submission/{name}/provenance.yaml",
    log:
        "results/logs/submission/{name}.log",
    conda:
        "../envs/madsep.yaml"
    params:
        engine=SCORING["engine"],
        authors=config["submission"],
        recipe=lambda wildcards: RECIPES[SUBMISSIONS[wildcards.name]].values(),
    script:
        "../scripts/submission.py"
