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
        code=code_digest("scripts/list_frames.py"),
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
        modes=SETTINGS["modes"],
        code=code_digest("scripts/draw_preview.py"),
    script:
        "../scripts/draw_preview.py"
