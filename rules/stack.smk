"""Accepted frames to stacks."""


rule align_frames:
    """Find the transform of each accepted frame to the reference."""
    input:
        quality=of_all_frames(QUALITY),
        sources=of_all_frames(SOURCES),
    output:
        alignment=ALIGNMENT,
    log:
        "logs/align_frames.log",
    benchmark:
        "logs/align_frames.tsv"
    conda:
        "../envs/lightstack.yaml"
    threads: 8
    resources:
        mem_mb=memory(2),
        runtime=minutes(2 * len(PLAN.frames)),
    params:
        frames=frame_names(),
        cache=ALIGNMENTS,
        settings=settings_of("align_frames"),
        recipe=recipe("align_frames"),
    script:
        "../scripts/align_frames.py"


rule stack_frames:
    """Combine the aligned frames into one image per mode."""
    input:
        alignment=ALIGNMENT,
        cleaned=of_all_frames(CLEANED),
    output:
        stacks=stack_files(),
        thumbnails=THUMBNAILS,
    log:
        "logs/stack_frames.log",
    benchmark:
        "logs/stack_frames.tsv"
    conda:
        "../envs/lightstack.yaml"
    threads: 8
    resources:
        stack_memory_mb=PLAN.settings["stack_memory_mb"],
        mem_mb=memory(0, other=PLAN.settings["stack_memory_mb"]),
        runtime=minutes(10 * len(PLAN.frames)),
    params:
        frames=frame_names(),
        settings=settings_of("stack_frames"),
        recipe=recipe("stack_frames"),
    script:
        "../scripts/stack_frames.py"
