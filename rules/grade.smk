"""Cleaned frames to verdicts: detection, quality control, selection."""


rule detect_sources:
    """Find and measure the sources of one frame."""
    input:
        frame=CLEANED,
    output:
        sources=SOURCES,
    log:
        "logs/detect_sources/{frame}.log",
    benchmark:
        "logs/detect_sources/{frame}.tsv"
    priority: 2
    group:
        "frames"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(5),
        runtime=minutes(2),
    params:
        settings=settings_of("detect_sources"),
        recipe=recipe("detect_sources"),
    script:
        "../scripts/detect_sources.py"


rule grade_frame:
    """Give the verdict on one frame."""
    input:
        sources=SOURCES,
    output:
        quality=QUALITY,
    log:
        "logs/grade_frame/{frame}.log",
    benchmark:
        "logs/grade_frame/{frame}.tsv"
    priority: 3
    group:
        "frames"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(0),
        runtime=minutes(0),
    params:
        settings=settings_of("grade_frame"),
        recipe=recipe("grade_frame"),
    script:
        "../scripts/grade_frame.py"


rule select_frames:
    """Collect the accepted frames in the output folder."""
    input:
        quality=of_all_frames(QUALITY),
        cleaned=of_all_frames(CLEANED),
    output:
        selection=SELECTION,
    log:
        "logs/select_frames.log",
    benchmark:
        "logs/select_frames.tsv"
    group:
        "night"
    conda:
        "../envs/lightstack.yaml"
    threads: 8
    resources:
        mem_mb=memory(0, goes_through_all=True),
        runtime=minutes(2 * len(PLAN.frames)),
    params:
        frames=frame_names(),
        groups=GROUPS.of_frame,
        settings=settings_of("select_frames"),
        recipe=recipe("select_frames"),
    script:
        "../scripts/select_frames.py"
