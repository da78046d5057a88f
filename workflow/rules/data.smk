def signals_of(kind, batch):
    """What prepared tracks hold, in this order: for training the mixture and the stems, for tests the accompaniment, too."""
    stems = ["vocals", "drums", "bass", "other"] if FOUR in kind else ["vocals"]
    return ["mixture", *stems, *(["accompaniment"] if batch.startswith("test") else [])]


def rate_of(kind):
    """Sample rate in Hz of prepared tracks; None is the data set's."""
    digits = kind.removeprefix(FOUR).removeprefix("-")
    return int(digits) if digits else None


rule prepare:
    input:
        sources,
    output:
        manifest="results/prepared{kind}/{batch}.json",
    log:
        "results/logs/prepare{kind}/{batch}.log",
    benchmark:
        "results/benchmarks/prepare{kind}/{batch}.tsv"
    conda:
        "../envs/madsep.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * (500 + int(3 * max(t.duration_s for t in tracks_of(wildcards.batch)))),
    params:
        tracks=lambda wildcards: [asdict(track) for track in tracks_of(wildcards.batch)],
        signals=lambda wildcards: signals_of(wildcards.kind, wildcards.batch),
        mono=lambda wildcards: not wildcards.batch.startswith("test"),
        sample_rate_hz=lambda wildcards: rate_of(wildcards.kind),
    script:
        "../scripts/prepare.py"
