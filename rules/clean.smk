"""Raw frames to cleaned ones: dark, bias, flat and background."""


rule combine_darks:
    """Combine the darks of one kind into a master."""
    input:
        darks=raw_files("dark"),
    output:
        master=MASTERS["dark"],
    log:
        "logs/combine_darks/{kind}.log",
    benchmark:
        "logs/combine_darks/{kind}.tsv"
    group:
        "darks"
    conda:
        "../envs/lightstack.yaml"
    threads: threads_of_masters()
    resources:
        mem_mb=memory(9),
        runtime=minutes(10),
    params:
        settings=settings_of("combine_darks"),
        recipe=recipe("combine_darks"),
    script:
        "../scripts/combine_darks.py"


rule combine_bias:
    """Combine the bias frames of one kind into a master."""
    input:
        bias=raw_files("bias"),
    output:
        master=MASTERS["bias"],
    log:
        "logs/combine_bias/{kind}.log",
    benchmark:
        "logs/combine_bias/{kind}.tsv"
    conda:
        "../envs/lightstack.yaml"
    threads: threads_of_masters()
    resources:
        mem_mb=memory(9),
        runtime=minutes(10),
    params:
        settings=settings_of("combine_bias"),
        recipe=recipe("combine_bias"),
    script:
        "../scripts/combine_bias.py"


rule combine_flats:
    """Combine the flats of one kind into a master."""
    input:
        flats=raw_files("flat"),
        pedestal=pedestal_of_flats,
    output:
        master=MASTERS["flat"],
    log:
        "logs/combine_flats/{kind}.log",
    benchmark:
        "logs/combine_flats/{kind}.tsv"
    conda:
        "../envs/lightstack.yaml"
    threads: threads_of_masters()
    resources:
        mem_mb=memory(12),
        runtime=minutes(10),
    params:
        facts=facts_of_flats,
        settings=settings_of("combine_flats"),
        recipe=recipe("combine_flats"),
    script:
        "../scripts/combine_flats.py"


rule map_bad_pixels:
    """Map the bad pixels of a sensor, as its dark or some frames of it show them."""
    input:
        frames=raw_files("bad_pixels"),
        dark=dark_of_map,
    output:
        bad=MASTERS["bad_pixels"],
    log:
        "logs/map_bad_pixels/{kind}.log",
    benchmark:
        "logs/map_bad_pixels/{kind}.tsv"
    conda:
        "../envs/lightstack.yaml"
    threads: threads_of_masters()
    resources:
        mem_mb=memory(14),
        runtime=minutes(20),
    params:
        settings=settings_of("map_bad_pixels"),
        recipe=recipe("map_bad_pixels"),
    script:
        "../scripts/map_bad_pixels.py"


rule calibrate_frame:
    """Read one raw frame and free it of dark, bias and flat."""
    input:
        raw=raw_frame,
        own=own_dark,
        dark=master_of("dark"),
        bias=master_of("bias"),
        flat=master_of("flat"),
        bad_pixels=master_of("bad_pixels"),
    output:
        frame=temp(CALIBRATED),
    log:
        "logs/calibrate_frame/{frame}.log",
    benchmark:
        "logs/calibrate_frame/{frame}.tsv"
    group:
        "frames"
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
    benchmark:
        "logs/subtract_background/{frame}.tsv"
    priority: 1
    group:
        "frames"
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


if HAS_COLOURS:

    # It reads the raw frame anew: so a run with colours after one without has no more to do.
    rule clean_colours:
        """Free the colours of one frame of dark, bias, flat and sky."""
        input:
            raw=raw_frame,
            own=own_dark,
            dark=master_of("dark"),
            bias=master_of("bias"),
            flat=master_of("flat"),
            bad_pixels=master_of("bad_pixels"),
            sources=SOURCES,
        output:
            colours=COLOURS,
        log:
            "logs/clean_colours/{frame}.log",
        benchmark:
            "logs/clean_colours/{frame}.tsv"
        group:
            "frames"
        conda:
            "../envs/lightstack.yaml"
        resources:
            mem_mb=memory(7),
            runtime=minutes(3),
        params:
            sha256=content_of_raw_frame,
            facts=facts_of_raw_frame,
            settings=settings_of("clean_colours"),
            recipe=recipe("clean_colours"),
        script:
            "../scripts/clean_colours.py"
