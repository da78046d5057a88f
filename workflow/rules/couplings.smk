"""What trained networks do to their input: couplings of the systems named in `couplings`, over the test tracks."""


rule couplings:
    input:
        checkpoint="results/{system}/checkpoint.safetensors",
        prepared=lambda wildcards: expand(
            "results/prepared/{batch}.json", batch=batch_names("prepare", "test")
        ),
    output:
        couplings=couplings_figure("couplings", "couplings of the dense layers"),
        jacobian=couplings_figure("jacobian", "Jacobian of the network"),
        lags=couplings_figure("lags", "reach of the Jacobian in time"),
        losses=couplings_figure("losses", "losses of the couplings' fits"),
        tables=expand(
            "results/{{system}}/couplings/{table}.csv",
            table=["measures", "summary", "losses", "lags"],
        ),
        maps="results/{system}/couplings/couplings.npz",
        provenance="results/{system}/couplings/provenance.yaml",
    log:
        "results/logs/couplings/{system}.log",
    benchmark:
        "results/benchmarks/couplings/{system}.tsv"
    wildcard_constraints:
        system=any_of(config["couplings"]),
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["train"]
    resources:
        gpu=gpu_job,
        mem_mb=lambda wildcards, attempt: attempt * 6000,
        runtime=lambda wildcards, attempt: attempt
        * minutes([TRACKS[slug] for slug in TEST], 5),
    params:
        nca=config["nca"],
        bootstrap=config["bootstrap"],
    script:
        "../scripts/couplings.py"


rule couplings_table:
    input:
        expand("results/{system}/couplings/summary.csv", system=config["couplings"]),
    output:
        table="results/couplings.csv",
        page=report(
            "results/couplings.html",
            caption="../report/couplings_table.rst",
            category="couplings",
            labels={"table": "all systems"},
        ),
    log:
        "results/logs/couplings.log",
    conda:
        "../envs/madsep.yaml"
    params:
        systems=config["couplings"],
    script:
        "../scripts/couplings_table.py"
