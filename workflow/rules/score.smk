rule score:
    input:
        prepared=lambda wildcards: prepared_for(wildcards.batch),
        estimates=estimates_of,
    output:
        table="results/{system}/scores/{batch}.csv",
    log:
        "results/logs/score/{system}/{batch}.log",
    benchmark:
        "results/benchmarks/score/{system}/{batch}.tsv"
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["score"]
    resources:
        # museval keeps about 15 MB for each second of two stereo targets
        mem_mb=lambda wildcards, attempt: attempt
        * (500 + int(16 * max(t.duration_s for t in tracks_of(wildcards.batch)))),
    params:
        slugs=lambda wildcards: [track.slug for track in tracks_of(wildcards.batch)],
    script:
        "../scripts/score.py"


rule aggregate:
    input:
        tables=lambda wildcards: expand(
            "results/{{system}}/scores/{batch}.csv", batch=batch_names("score", "test")
        ),
    output:
        medians="results/{system}/medians.csv",
        summary="results/{system}/summary.csv",
        track_medians="results/{system}/track_medians.csv",
        whole_tracks="results/{system}/global.csv",
    log:
        "results/logs/aggregate/{system}.log",
    conda:
        "../envs/madsep.yaml"
    params:
        names={
            slug: track.name
            for slug, track in TRACKS.items()
            if track.subset == "test"
        },
        bootstrap=config["bootstrap"],
    script:
        "../scripts/aggregate.py"
