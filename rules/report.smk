"""What a person looks at: the inventory, the ledger and the preview."""


rule list_frames:
    """Write the ledger: what became of each frame."""
    input:
        quality=of_all_frames(QUALITY),
        alignment=ALIGNMENT,
    output:
        ledger=LEDGER,
    log:
        "logs/list_frames.log",
    benchmark:
        "logs/list_frames.tsv"
    # Before the stack, so that the ledger is there if that fails.
    priority: 1
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(0),
        runtime=minutes(1),
    params:
        frames=list(FRAMES.paths),
        refused=FRAMES.refused,
        left_out=USES.lights_left_out(),
        recipe=recipe("list_frames"),
    script:
        "../scripts/list_frames.py"


rule list_inventory:
    """Write the inventory: what each file is and what becomes of it."""
    output:
        inventory=INVENTORY,
    log:
        "logs/list_inventory.log",
    benchmark:
        "logs/list_inventory.tsv"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(0),
        runtime=minutes(1),
    params:
        rows=rows_of_inventory,
        recipe=recipe("list_inventory"),
    script:
        "../scripts/list_inventory.py"


rule draw_preview:
    """Draw all stacks side by side in one picture."""
    input:
        thumbnails=THUMBNAILS,
    output:
        preview=PREVIEW,
    log:
        "logs/draw_preview.log",
    benchmark:
        "logs/draw_preview.tsv"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(6),
        runtime=minutes(10),
    params:
        settings=RECIPES.settings_of("draw_preview"),
        recipe=recipe("draw_preview"),
    script:
        "../scripts/draw_preview.py"
