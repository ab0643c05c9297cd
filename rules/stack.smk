"""Accepted frames to stacks."""


rule align_frames:
    """Find the transform of each accepted frame to the reference."""
    input:
        quality=of_frames_sharing(QUALITY),
        sources=of_frames_sharing(SOURCES),
    output:
        alignment=of_reference(ALIGNMENT),
    log:
        of_reference("logs/align_frames/{group}.log"),
    benchmark:
        of_reference("logs/align_frames/{group}.tsv")
    group:
        "night"
    conda:
        "../envs/lightstack.yaml"
    threads: 8
    resources:
        # Memory that its processes share is counted for each of them.
        mem_mb=memory(2, other=200, goes_through_all=True),
        runtime=minutes(2 * len(PLAN.frames)),
    params:
        groups=groups_of_frames_sharing,
        cache=alignments_kept,
        settings=settings_of("align_frames"),
        recipe=recipe("align_frames"),
    script:
        "../scripts/align_frames.py"


if PLAN.settings["stack_bands"] == 1:

    rule stack_frames:
        """Combine the aligned frames into one image per mode."""
        input:
            alignment=alignment_of_group,
            cleaned=of_frames_on_grid(STACKED),
        output:
            stacks=stack_files(),
            thumbnails=of_group(THUMBNAILS),
        log:
            of_group("logs/stack_frames/{group}.log"),
        benchmark:
            of_group("logs/stack_frames/{group}.tsv")
        conda:
            "../envs/lightstack.yaml"
        threads: 8
        resources:
            stack_memory_mb=stack_memory_mb(),
            mem_mb=memory(0, other=stack_memory_mb(), goes_through_all=True),
            runtime=minutes(10 * len(PLAN.frames)),
        params:
            frames=frames_on_grid,
            members=members_of_group,
            stacks=stacks_of_group,
            settings=settings_of("stack_frames"),
            recipe=recipe("stack_frames"),
        script:
            "../scripts/stack_frames.py"

else:

    if skies_if_matched() or seeing_if_needed():

        rule measure_frames:
            """Measure once, for all bands, what they have to know of whole frames."""
            input:
                alignment=alignment_of_group,
                cleaned=of_frames_on_grid(STACKED),
            output:
                skies=temp(skies_if_matched()),
                seeing=temp(seeing_if_needed()),
            log:
                of_group("logs/measure_frames/{group}.log"),
            benchmark:
                of_group("logs/measure_frames/{group}.tsv")
            conda:
                "../envs/lightstack.yaml"
            threads: 8
            resources:
                mem_mb=memory(0, other=800, goes_through_all=True),
                runtime=minutes(len(PLAN.frames)),
            params:
                frames=frames_on_grid,
                members=members_of_group,
                settings=settings_of("stack_frames"),
                recipe=recipe("stack_frames"),
            script:
                "../scripts/measure_frames.py"

    rule stack_band:
        """Combine some rows of the aligned frames."""
        input:
            alignment=alignment_of_group,
            cleaned=of_frames_on_grid(STACKED),
            skies=skies_if_matched(),
            seeing=seeing_if_needed(),
        output:
            band=temp(of_group(BAND)),
        log:
            of_group("logs/stack_band/{group}/{band}.log"),
        benchmark:
            of_group("logs/stack_band/{group}/{band}.tsv")
        wildcard_constraints:
            band=r"\d+_of_\d+",
        conda:
            "../envs/lightstack.yaml"
        threads: 8
        resources:
            stack_memory_mb=stack_memory_mb(),
            mem_mb=memory(0, other=stack_memory_mb(), goes_through_all=True),
            runtime=minutes(10 * len(PLAN.frames) / PLAN.settings["stack_bands"]),
        params:
            frames=frames_on_grid,
            members=members_of_group,
            band=number_of_band,
            settings=settings_of("stack_frames"),
            recipe=recipe("stack_frames"),
        script:
            "../scripts/stack_band.py"

    # Its results have the same recipe as those of one job, for they are the same.
    rule join_bands:
        """Join the bands to one image per mode."""
        input:
            alignment=alignment_of_group,
            cleaned=of_frames_on_grid(STACKED),
            skies=skies_if_matched(),
            seeing=seeing_if_needed(),
            bands=bands_of_group,
        output:
            stacks=stack_files(),
            thumbnails=of_group(THUMBNAILS),
        log:
            of_group("logs/join_bands/{group}.log"),
        benchmark:
            of_group("logs/join_bands/{group}.tsv")
        conda:
            "../envs/lightstack.yaml"
        threads: 8
        resources:
            mem_mb=memory(4, goes_through_all=True),
            runtime=minutes(len(PLAN.frames)),
        params:
            frames=frames_on_grid,
            members=members_of_group,
            stacks=stacks_of_group,
            settings=settings_of("stack_frames"),
            recipe=recipe("stack_frames"),
        script:
            "../scripts/join_bands.py"
