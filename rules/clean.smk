"""Raw frames to cleaned ones: darks and background."""


rule combine_darks:
    """Combine the darks of each kind into a master."""
    input:
        darks=darks_to_combine(),
    output:
        masters=MASTERS,
    log:
        "logs/combine_darks.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=settings("dark_temperature_tolerance"),
        code=code_digest("scripts/combine_darks.py"),
    script:
        "../scripts/combine_darks.py"


rule subtract_dark:
    """Read one raw frame and subtract its dark."""
    input:
        raw=raw_frame,
        dark=same_name_dark,
        masters=masters_for_frame,
    output:
        frame=temp("work/dark_subtracted/{frame}.fits"),
    log:
        "logs/subtract_dark/{frame}.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=settings(
            "saturation_limit", "debug_region", "dark_temperature_tolerance"
        ),
        dark=same_name_dark,
        code=code_digest("scripts/subtract_dark.py"),
    script:
        "../scripts/subtract_dark.py"


rule subtract_background:
    """Model the sky of one frame and subtract it."""
    input:
        frame="work/dark_subtracted/{frame}.fits",
    output:
        frame=CLEANED,
    log:
        "logs/subtract_background/{frame}.log",
    conda:
        "../envs/lightstack.yaml"
    params:
        settings=settings("background_box"),
        code=code_digest("scripts/subtract_background.py"),
    script:
        "../scripts/subtract_background.py"
