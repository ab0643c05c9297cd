"""Raw frames to cleaned ones: darks and background."""


rule combine_darks:
    """Combine the darks of one kind into a master."""
    input:
        darks=darks_of_kind,
    output:
        master=MASTER,
    log:
        "logs/combine_darks/{kind}.log",
    benchmark:
        "logs/combine_darks/{kind}.tsv"
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(9),
        runtime=minutes(10),
    params:
        recipe=recipe("combine_darks"),
    script:
        "../scripts/combine_darks.py"


rule calibrate_frame:
    """Read one raw frame and take its dark off."""
    input:
        raw=raw_frame,
        dark=own_dark,
        master=master_dark,
    output:
        frame=temp(CALIBRATED),
    log:
        "logs/calibrate_frame/{frame}.log",
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(5),
        runtime=minutes(2),
    params:
        sha256=content_of_raw_frame,
        facts=facts_of_raw_frame,
        settings=settings_of("calibrate_frame"),
        recipe=recipe("calibrate_frame"),
    script:
        "../scripts/calibrate_frame.py"


rule subtract_background:
    """Model the sky of one frame and subtract it."""
    input:
        frame=CALIBRATED,
    output:
        frame=CLEANED,
    log:
        "logs/subtract_background/{frame}.log",
    priority: 1
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(5),
        runtime=minutes(2),
    params:
        settings=settings_of("subtract_background"),
        recipe=recipe("subtract_background"),
    script:
        "../scripts/subtract_background.py"
