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


rule subtract_dark:
    """Read one raw frame and subtract its dark."""
    input:
        raw=raw_frame,
        dark=own_dark,
        master=master_dark,
    output:
        frame=temp(DARK_SUBTRACTED),
    log:
        "logs/subtract_dark/{frame}.log",
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(5),
        runtime=minutes(2),
    params:
        sha256=content_of_raw_frame,
        facts=facts_of_raw_frame,
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
    priority: 1
    conda:
        "../envs/lightstack.yaml"
    resources:
        mem_mb=memory(5),
        runtime=minutes(2),
    params:
        settings=RECIPES.settings_of("subtract_background"),
        recipe=recipe("subtract_background"),
    script:
        "../scripts/subtract_background.py"
