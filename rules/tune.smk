"""What helps to choose settings: asked for by name, `snakemake --cores 2 tune`."""


rule tune:
    """Show what detection finds at other settings."""
    input:
        cleaned=of_frames(CLEANED, frames_to_tune_by()),
    output:
        picture=TUNING,
        table=TUNING_TABLE,
    log:
        "logs/tune.log",
    benchmark:
        "logs/tune.tsv"
    conda:
        "../envs/lightstack.yaml"
    threads: 8
    resources:
        mem_mb=memory(6),
        runtime=minutes(5),
    params:
        frames=frames_to_tune_by(),
        settings=settings_of("tune"),
        recipe=recipe("tune"),
    script:
        "../scripts/tune.py"
