"""report.md, report.html, and the files that they show. Times are in a separate file; everything else is identical for identical arms."""

from report_page.page import markdown, web_page, write_text

from . import figures, paper, tables
from .verdicts import RULE, verdicts_of


def notes_of(plan, results):
    """How the grid was run, and how that differs from the paper."""
    size, preset = plan.size, plan.preset
    notes = [
        f"{len(results)} of {len(plan.arms)} arms are finished: {size.seeds} seed{'s'[: size.seeds - 1]} of each network. Numbers are means over the finished seeds, ± their standard deviation.",
        f"Every arm trains for {size.iterations} iterations of {preset.batch} images ({plan.epochs:.1f} epochs), in {plan.precision}, {plan.division.text}, "
        "and its seed determines the order of the images. Errors are those of the last iteration; no iteration is selected by its error.",
    ]
    if plan.division.group:
        notes.append(f"Batch norm normalizes over groups of {plan.division.group} images, the part of a rank.")
    if size.iterations < plan.full_iterations:
        notes.append(f"The schedule is shorter than the full one of {plan.full_iterations} iterations; the learning rate drops at the same fractions of it.")
        if preset.paper:
            notes.append("So this is not an exact repetition of the paper, and differences from its numbers are expected.")
    notes += [f"Cut for the budget: {what}." for what in plan.cut]
    warm = [depth for depth in size.depths if depth in preset.warmups]
    notes += [f"Both nets of depth {depth} warm up, as the paper's ResNet-{depth} does ({' '.join(preset.warmups[depth])})." for depth in warm]
    if preset.paper:
        notes.append(paper.SOURCES[preset.paper])
    return notes


def flags_of(plan, results, folders):
    """Warnings about what makes a comparison doubtful."""
    flags = []
    for seed in range(plan.size.seeds):
        finished = [arm.name for arm in plan.arms if arm.seed == seed and arm.name in results]
        processors = sorted({processor for name in finished for processor in (results[name].content["processor"], *folders[name].processors())})
        if len(processors) > 1:
            flags.append(f"The arms of seed {seed} ran on different processors: {'; '.join(processors)}. Rerun that seed on one kind of processor.")
    versions = sorted({result.content["version"] for result in results.values()})
    if len(versions) > 1:
        flags.append(f"The arms were trained by different versions of the program: {', '.join(versions)}.")
    threads = sorted({result.content["threads"] for result in results.values()})
    if len(threads) > 1:
        flags.append(f"The arms were trained with different numbers of threads, on which last bits depend: {', '.join(map(str, threads))}.")
    flags += [f"{arm.name} diverged: its loss became NaN or infinite." for arm in plan.arms if arm.name in results and results[arm.name].diverged]
    return flags


def blocks_of(plan, results, folders, results_of, drawn):
    """The report, as a list of (kind, content)."""
    verdicts = verdicts_of(plan, results_of)
    blocks = [("title", f"The degradation experiment: {plan.preset.title}"), ("list", notes_of(plan, results))]
    flags = flags_of(plan, results, folders)
    if flags:
        blocks += [("heading", "Take care"), ("list", flags)]
    twins = [net for net in plan.nets if net.shortcut in ("none", "A")]
    blocks += [("heading", "Errors"), ("table", tables.error_table(plan, results_of, twins))]
    blocks += [("heading", "Verdicts"), ("table", tables.verdict_table(verdicts)), ("text", RULE)]
    shortcuts = tables.shortcut_nets(plan)
    if shortcuts:
        blocks += [("heading", f"Shortcuts A, B and C at {plan.size.shortcut_depth} layers"), ("table", tables.error_table(plan, results_of, shortcuts))]
        if plan.preset.paper != "imagenet":
            blocks.append(("text", "The paper compares them only for ResNet-34 on ImageNet, so there is no verdict here."))
    if drawn:
        blocks.append(("heading", "Figures"))
        blocks += [("figure", figure) for figure in drawn]
    settings = ", ".join(f"{name} = {value}" for name, value in sorted(plan.shared_configuration().items()))
    blocks += [("heading", "Settings that all arms share"), ("text", settings)]
    return blocks


def write(plan, results, folders, output):
    """Writes all files; returns why figures are missing, or an empty string."""

    def results_of(net):
        return [results[arm.name] for arm in plan.arms if arm.net == net and arm.name in results]

    def folders_of(net):
        return [folders[arm.name] for arm in plan.arms if arm.net == net and arm.name in results and not results[arm.name].diverged]

    problem, drawn = "", []
    try:
        drawn = figures.draw(plan, results_of, folders_of, output / "figures")
    except figures.NoMatplotlib as missing:
        problem = str(missing)
    blocks = blocks_of(plan, results, folders, results_of, drawn)
    write_text(output / "results.csv", tables.results_csv(plan, results))
    write_text(output / "times.csv", tables.times_csv(plan, results))
    write_text(output / "report.md", markdown(blocks))
    write_text(output / "report.html", web_page(blocks, output / "figures"))
    return problem
