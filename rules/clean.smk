"""Raw frames to cleaned ones: darks and background."""


rule combine_darks:
    """Combine the darks of each kind into a master."""
    input:
        darks=ancient(list(shared_darks(FRAMES, DARKS).values())),
    output:
        masters=MASTERS,
    log:
        "logs/combine_darks.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=RECIPES.settings_of("combine_darks"),
        recipe=recipe("combine_darks"),
    script:
        "../scripts/combine_darks.py"


rule subtract_dark:
    """Read one raw frame and subtract its dark."""
    input:
        raw=ancient(raw_frame),
        dark=ancient(same_name_dark),
        masters=masters_for_frame,
    output:
        frame=temp(DARK_SUBTRACTED),
    log:
        "logs/subtract_dark/{frame}.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        sha256=content_of_raw_frame,
        settings=RECIPES.settings_of("subtract_dark"),
        recipe=recipe("subtract_dark"),
    script:
        "../scripts/subtract_dark.py"


rule subtract_background:
    """Model the sky of one frame and subtract it."""
    input:
        frame=DARK_SUBTRACTED,
    output:
        frame=CLEANED,
    log:
        "logs/subtract_background/{frame}.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=RECIPES.settings_of("subtract_background"),
        recipe=recipe("subtract_background"),
    script:
        "../scripts/subtract_background.py"
