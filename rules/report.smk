"""What a person looks at: the inventory, the ledger, the preview and the report."""


rule list_frames:
    """Write the ledger: what became of each frame."""
    input:
        quality=of_all_frames(QUALITY),
        alignments=of_all_references(ALIGNMENT),
    output:
        ledger=report(
            LEDGER,
            caption="captions/ledger.rst",
            category="Frames",
            labels={"result": "ledger"},
        ),
    log:
        "logs/list_frames.log",
    benchmark:
        "logs/list_frames.tsv"
    # Before the stack, so that the ledger is there if that fails.
    priority: 1
    group:
        "night"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(0, goes_through_all=True),
        runtime=minutes(1),
    params:
        frames=frame_names(),
        facts=PLAN.ledger,
        refused=PLAN.refused,
        left_out=PLAN.left_out,
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
    priority: 2
    group:
        "night"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(0, goes_through_all=True),
        runtime=minutes(1),
    params:
        rows=rows_of_inventory,
        recipe=recipe("list_inventory"),
    script:
        "../scripts/list_inventory.py"


rule draw_preview:
    """Draw all stacks side by side in one picture."""
    input:
        thumbnails=of_group(THUMBNAILS),
    output:
        preview=report(
            of_group(PREVIEW),
            caption="captions/preview.rst",
            category="Stacks",
            labels=labels_of_group("preview"),
        ),
    log:
        of_group("logs/draw_preview/{group}.log"),
    benchmark:
        of_group("logs/draw_preview/{group}.tsv")
    group:
        "report"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(6),
        runtime=minutes(10),
    params:
        offered=frames_offered,
        settings=settings_of("draw_preview"),
        recipe=recipe("draw_preview"),
    script:
        "../scripts/draw_preview.py"


rule write_report:
    """Write one page that shows what became of every frame, and why."""
    input:
        ledger=LEDGER,
        inventory=INVENTORY,
        alignments=of_all_references(ALIGNMENT),
        stacks=stack_files(),
        thumbnails=of_all_groups(THUMBNAILS),
        previews=of_all_groups(PREVIEW),
        cleaned=of_all_frames(CLEANED),
        sources=of_all_frames(SOURCES),
    output:
        report=report(
            REPORT,
            caption="captions/report.rst",
            category="Frames",
            labels={"result": "report"},
        ),
    log:
        "logs/write_report.log",
    benchmark:
        "logs/write_report.tsv"
    group:
        "report"
    conda:
        "../envs/lightstack.yaml"
    threads: 8
    resources:
        mem_mb=memory(4, other=100, goes_through_all=True),
        runtime=minutes(len(PLAN.frames)),
    params:
        frames=frame_names(),
        groups=files_of_groups(),
        pictures=PICTURES,
        settings=settings_of("write_report"),
        facts=PLAN.facts_of_report,
        recipe=recipe("write_report"),
    script:
        "../scripts/write_report.py"
