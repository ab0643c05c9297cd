"""Cleaned frames to verdicts: detection, quality control, selection."""


rule detect_sources:
    """Find and measure the sources of one frame."""
    input:
        frame=CLEANED,
    output:
        sources=SOURCES,
    log:
        "logs/detect_sources/{frame}.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=settings("threshold_sigma", "minarea", "smoothing_sigma"),
        code=code_digest("scripts/detect_sources.py"),
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
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=settings(
            "min_star_count",
            "fwhm0",
            "fwhm_max_ratio",
            "ellip_max",
            "outlier_mad_thresh",
            "saturated_max_fraction",
        ),
        code=code_digest("scripts/grade_frame.py"),
    script:
        "../scripts/grade_frame.py"


rule select_frames:
    """Collect the accepted frames in the output folder."""
    input:
        quality=of_all_frames(QUALITY),
        cleaned=of_all_frames(CLEANED),
    output:
        selection="<results>/selection.csv",
    log:
        "logs/select_frames.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=settings("output_dir"),
        code=code_digest("scripts/select_frames.py"),
    script:
        "../scripts/select_frames.py"
