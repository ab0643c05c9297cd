"""What a person looks at: the ledger and the preview."""


rule list_frames:
    """Write the ledger: what became of each frame."""
    input:
        quality=of_all_frames(QUALITY),
        alignment="<results>/alignment.json",
    output:
        ledger="<results>/frames.csv",
    log:
        "logs/list_frames.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        frames=list(FRAMES.paths),
        refused=FRAMES.refused,
        recipe=recipe("list_frames"),
    script:
        "../scripts/list_frames.py"


rule draw_preview:
    """Draw all stacks side by side in one picture."""
    input:
        stacks=stack_files(),
    output:
        preview="<results>/preview.png",
    log:
        "logs/draw_preview.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=RECIPES.settings_of("draw_preview"),
        recipe=recipe("draw_preview"),
    script:
        "../scripts/draw_preview.py"
