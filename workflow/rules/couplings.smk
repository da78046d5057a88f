"""Neural couplings of the systems named in `couplings`, computed over the test tracks."""


rule couplings:
    input:
        checkpoint="results/{system}/checkpoint.safetensors",
        prepared=ask.couplings_prepared,
    output:
        "results/{system}/couplings/jobs/couplings.json",
    log:
        "results/logs/couplings/{system}.log",
    benchmark:
        "results/benchmarks/couplings/{system}.tsv"
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["train"]
    resources:
        gpu=needs.gpu,
        mem_mb=needs.couplings_mb,
        runtime=needs.couplings_minutes,
    params:
        tracks=ask.couplings_tracks,
        nca=config["nca"],
    script:
        "../scripts/couplings.py"


rule couplings_table:
    input:
        expand(
            "results/{system}/couplings/jobs/couplings.json",
            system=config["couplings"],
        ),
    output:
        report(
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
        identity=plan.identity(config["couplings"]),
    script:
        "../scripts/couplings_table.py"
